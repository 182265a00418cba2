"""Files -> an index directory, safely: what is there stays until what replaces it is complete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from rag.core.clusters import Cluster
from rag.core.digests import file_sha256
from rag.core.errors import IndexProblem, SpecError
from rag.core.progress import Progress, silent
from rag.indexing.build import Build, IndexReport
from rag.indexing.changes import remove_targets
from rag.indexing.encoders import encoders_of
from rag.indexing.labels import Given
from rag.indexing.place import writing
from rag.indexing.previous_index import Past
from rag.indexing.publish import published
from rag.indexing.removal import Removal
from rag.indexing.selection import Update
from rag.ingest import INGEST_VERSION
from retrievers.index import INDEXES
from retrievers.index.built import BuiltIndex, holdings_of
from retrievers.index.directory import LocalIndex
from retrievers.index.manifest import FORMAT_VERSION, ragline_version
from retrievers.index.opening import open_index, scheme_of
from retrievers.index.settings import IndexSettings
from retrievers.index.sources import Holding, corpus_sha256
from retrievers.legs import USUAL

_DEFAULTS = IndexSettings()


def build_index(
    sources: str | Path | Sequence[str | Path],
    path: str | Path,
    *,
    settings: IndexSettings | None = None,
    legs: Sequence[str] | None = None,
    name: str | None = None,
    labels: str | Path | None = None,
    prune: bool = False,
    most_lost: float = 0.5,
    cluster: Cluster | None = None,
    progress: Progress = silent,
) -> IndexReport:
    """Index files and folders into the directory `path`, or bring what the index there has of them up to date.

    `path` may be the address of an index on a server (docs/several_machines.md).

    Sources that the index has and that are not named stay as they are. Ids of documents are `name/relative path`, where
    the name is that of the folder. A file that is gone from its source goes from the index, and the report says so.
    What did not change is neither parsed nor encoded again, and what a killed build had encoded is used. Until the new
    index is complete the old one is untouched, whatever happens.

    Args:
        sources: files and folders; a single path is one of them. None for all that the index has.
        settings, legs: as the index there has them, where they are left out; else the usual ones.
        name: of the one source, instead of that of its folder. A name that the index has: the source now lies there.
        labels: a file that says who may read which document; see `rag.indexing.labels`. An index that has labels keeps
            them, and stays one that shows nothing unasked.
        prune: drop sources that are not named; with none named, those that are no longer there.
        most_lost: share of the index's documents that may go.
        cluster: machines that read the texts with the models of legs. What is written, and when, is as without
            one. Default: this process reads them.
    Raises:
        SpecError: no source, or no text in the sources, one doc_id in two files, an unusable transform, or no cluster there.
        IndexProblem: not a directory; or it is in use or holds something else, or the disk is full.
        TooMuchLost: more would go than `most_lost`. Nothing was changed.
        MissingModel: the encoder is not there, or not on a node of the cluster.
        StageError: the cluster breaks down for good. What it had encoded is kept, as after a kill.
    """
    paths = _paths(sources)
    with writing(path) as place, encoders_of(cluster) as encoders:
        if not paths and not place.exists:
            raise SpecError(
                f"no source is given, and there is no index at '{place.address}' that has some. Say what to index: "
                f"rag index SRC --index {place.address}"
            )
        select = Update(paths, name=name, prune=prune, home=place.home)
        build = Build(
            select,
            place,
            settings=settings,
            legs=legs,
            labels=None if labels is None else Given.read(Path(labels)),
            prune=prune,
            most_lost=most_lost,
            encoders=encoders,
            progress=progress,
        )
        return published(place, build.run, progress=progress)


def remove_from_index(
    targets: Sequence[str],
    path: str | Path,
    *,
    most_lost: float = 0.5,
    rewrite: bool = False,
    progress: Progress = silent,
) -> IndexReport:
    """Take sources, files and documents out of an index. Nothing is read but the index.

    What was removed stays out when its source is read again, until it is indexed by its own path.

    Args:
        targets: names or roots of sources, names of files, ids of documents.
        most_lost: share of the index's documents that may go.
        rewrite: write all that is left anew. Else, where documents alone go, their bytes stay in files that no search
            reads, until parts are merged.
    Raises:
        IndexProblem: no index, a target that it has not, or nothing would be left.
        TooMuchLost: more would go than `most_lost`. Nothing was changed.
        MissingModel: the encoder is not there.
    """
    if not rewrite and scheme_of(path) is None:
        report = remove_targets(targets, path, most_lost=most_lost, progress=progress)
        if report is not None:
            return report
    with writing(path) as place:
        if not place.exists:
            raise IndexProblem(f"no index at '{place.address}'")
        build = Build(
            Removal(targets), place, settings=None, legs=None, prune=False, most_lost=most_lost, progress=progress
        )
        return published(place, build.run, progress=progress)


def index_sources(path: str | Path) -> tuple[Holding, ...]:
    """The sources of an index and what each gave, in the order of their rows.

    Raises:
        IndexProblem: no index, or it is damaged.
    """
    if (scheme := scheme_of(path)) is not None and scheme in INDEXES:
        raise IndexProblem(
            f"index '{path}': an index of this kind has no sources of its own. Name its parts one by one"
        )
    with open_index(path) as index:
        return holdings_of(cast(BuiltIndex, index))


def index_exists(path: str | Path) -> bool:
    """Whether a build would bring an index up to date, and not make a new one."""
    with writing(path) as place:
        return place.exists


def index_settings(path: str | Path) -> IndexSettings:
    """What an index was built with; that of a draft if nothing was published yet.

    Raises:
        IndexProblem: no index, or it is damaged.
    """
    with writing(path) as place, place.before() or LocalIndex.open(place.home) as index:
        return index.manifest.settings


def index_key(
    sources: str | Path | Sequence[str | Path],
    *,
    settings: IndexSettings = _DEFAULTS,
    legs: Sequence[str] = USUAL,
) -> str:
    """Names an index by its content: its files, the settings of its legs, encoder weights and version.

    Reads all files; fetches the encoder if it is not there, as building would.
    """
    names = settings.ordered(legs)
    selection = Update(_paths(sources), home=None)(Past(), lambda record, removed: False)
    files = [file for chosen in selection.chosen for file in chosen.files]
    parts: dict[str, Any] = {
        "corpus": corpus_sha256((file.name, file_sha256(file.path)) for file in files),
        "settings": settings.model_dump(mode="json", include={"reading", "chunking", "transforms"}),
        "legs": {leg: settings.kind(leg).maker(settings).key() for leg in names},
        "version": [ragline_version(), FORMAT_VERSION, INGEST_VERSION],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _paths(sources: str | Path | Sequence[str | Path]) -> list[Path]:
    """The sources as a list. A text is a path too, never a list of its letters."""
    return [Path(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]
