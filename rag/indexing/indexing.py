"""Files -> an index directory, safely: what is there stays until what replaces it is complete."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.core.digests import file_sha256
from rag.core.errors import IndexProblem
from rag.core.progress import Progress, silent
from rag.indexing.build import Build, IndexReport, UnchangedError
from rag.ingest import INGEST_VERSION, discover
from retrievers.index.generations import CURRENT, building
from retrievers.index.manifest import ragline_version
from retrievers.index.old_formats import format_of
from retrievers.index.opening import scheme_of
from retrievers.index.settings import IndexSettings, leg_kind
from retrievers.index.sources import corpus_sha256
from retrievers.legs import LEGS, USUAL

__all__ = ["IndexReport", "build_index", "index_key"]

_DEFAULTS = IndexSettings()


def build_index(
    sources: str | Path | Sequence[str | Path],
    path: str | Path,
    *,
    settings: IndexSettings = _DEFAULTS,
    legs: Sequence[str] = USUAL,
    progress: Progress = silent,
) -> IndexReport:
    """Index files and folders into the directory `path`, or bring the index there up to date.

    Afterwards the index holds exactly what the sources hold now. What did not change since the index that was
    there is neither parsed nor encoded again, and what a killed build had encoded is used. Until the new
    index is complete the old one is untouched, whatever happens.

    Args:
        sources: files and folders; a single path is one of them.
    Raises:
        SpecError: no text in the sources, one doc_id in two files, or an unusable transform.
        IndexProblem: not a directory; or it is in use or holds something else, or the disk is full.
        MissingModel: the encoder is not there.
    """
    if scheme_of(path) is not None:
        raise IndexProblem(f"index '{path}': only directories can be built. Give --index a directory")
    home, names = Path(path), LEGS.ordered(legs)
    build = Build(_paths(sources), home, settings=settings, legs=names, progress=progress)
    try:
        with _explained(home):
            with building(home) as new:
                report, start = build.run(new), time.perf_counter()
            return replace(report, seconds={**report.seconds, "publish": time.perf_counter() - start})
    except UnchangedError as unchanged:
        return replace(unchanged.report, unchanged=True)


def index_key(
    sources: str | Path | Sequence[str | Path],
    *,
    settings: IndexSettings = _DEFAULTS,
    legs: Sequence[str] = USUAL,
) -> str:
    """Names an index by its content: its files, the settings of its legs, encoder weights and version.

    Reads all files; fetches the encoder if it is not there, as building would.
    """
    names = LEGS.ordered(legs)
    files = discover(_paths(sources)).files
    parts: dict[str, Any] = {
        "corpus": corpus_sha256((file.name, file_sha256(file.path)) for file in files),
        "settings": settings.model_dump(mode="json", include={"chunking", "transforms"}),
        "legs": {leg: leg_kind(leg).maker(settings).key() for leg in names},
        "version": [ragline_version(), format_of(names), INGEST_VERSION],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _paths(sources: str | Path | Sequence[str | Path]) -> list[Path]:
    """The sources as a list. A text is a path too, never a list of its letters."""
    return [Path(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]


@contextmanager
def _explained(home: Path) -> Iterator[None]:
    """Say what a stop in the middle means for the index."""
    kept = "The index that was there is as it was" if (home / CURRENT).exists() else "There is no index yet"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped while indexing into '{home}'. {kept}; the next run goes on from the finished vectors"
        ) from None
    except (OSError, RuntimeError) as cause:
        if not _disk_is_full(cause):
            raise
        raise IndexProblem(
            f"no room to write the index '{home}': {cause}. {kept}. Free some space there, or choose another "
            "--index, and run again; finished vectors are kept"
        ) from cause


def _disk_is_full(cause: Exception) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(cause, OSError) and cause.errno is not None:
        return cause.errno in codes
    # numpy reports a short write in words alone, faiss in a RuntimeError that ends in the system's words.
    return "requested and" in str(cause) or any(os.strerror(code) in str(cause) for code in codes)
