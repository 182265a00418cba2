"""Where the sources of an index lie now, said without reading any of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rag.core.digests import file_sha256
from retrievers.index.built import holdings_of
from retrievers.index.digests import FileFacts
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import building
from retrievers.index.manifest import write_manifest
from retrievers.index.sources import ROOTS, SOURCES, Source, write_sources


def move_sources(index: Path, folder: Path) -> None:
    """Let an index directory know that its sources lie below a folder, each by its name; those that do not, stay where they were.

    Whoever opened the index sees it when it is opened again. That files there are those that were read is seen when they are used.

    Raises:
        IndexProblem: there is no index, another process builds it, or it cannot be written.
    """
    with LocalIndex.open(index) as opened, building(index) as new:
        new.fill(opened.folder)
        for name in (SOURCES, ROOTS):  # links to those of the generation before, which stay as they are
            (new.folder / name).unlink(missing_ok=True)
        write_sources(new.folder, (replace(each, source=_moved(each.source, folder)) for each in holdings_of(opened)))
        facts = {
            name: FileFacts(sha256=file_sha256(new.folder / name), size_bytes=(new.folder / name).stat().st_size)
            for name in (SOURCES, ROOTS)
        }
        manifest = opened.manifest.model_copy(update={"files": opened.manifest.files | facts})
        write_manifest(new.folder, manifest)
        LocalIndex.require_written(new)


def _moved(source: Source, folder: Path) -> Source:
    root = folder.absolute() if source.bare else folder.absolute() / source.name
    return source if source.given or not root.exists() else source.model_copy(update={"root": str(root)})
