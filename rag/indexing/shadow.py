"""A second index inside an index, with another encoder: built while the first one serves, and put in its place in one step.

    DIR/shadow/       an index directory of its own, of the same passages
    DIR/shadow/of     two lines: the generation of DIR that it was made of, and that of its own which was made

Every generation is of one encoder, and readers open one generation, so no answer is ever from two spaces.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from rag.core.clusters import Cluster
from rag.core.errors import IndexProblem
from rag.core.files import write_atomically
from rag.core.progress import Progress, silent
from rag.indexing.build import Build, IndexReport
from rag.indexing.encoders import encoders_of
from rag.indexing.labels import Given
from rag.indexing.place import DirectoryWriter
from rag.indexing.previous_index import Past
from rag.indexing.publish import explained, home_of, published, verified
from rag.indexing.selection import Chosen, MayCopy, Selection
from retrievers.index.built import holdings_of
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import CURRENT, Building, newest_stamp, only_builder, remove_whole
from retrievers.index.manifest import write_manifest
from retrievers.index.settings import IndexSettings

log = logging.getLogger(__name__)

SHADOW = "shadow"
_OF = "of"


class _TakeOver:
    """All passages of another index, as they are."""

    def __init__(self, index: LocalIndex) -> None:
        self._index = index

    def __call__(self, before: Past, may_copy: MayCopy) -> Selection:
        holdings = holdings_of(self._index)
        chosen = tuple(Chosen(source=holding.source, kept=holding.records) for holding in holdings)
        return Selection(chosen=chosen, index=self._index)


def shadow_of(path: str | Path) -> Path:
    """Where the shadow of an index lies."""
    return home_of(path) / SHADOW


def build_shadow(
    path: str | Path, *, encoder: Any, cluster: Cluster | None = None, progress: Progress = silent
) -> IndexReport:
    """Encode the passages of an index with another encoder, beside it; or bring its shadow up to date.

    Passages stay as they are cut, so that both are asked the same. What the shadow has encoded, or a killed build of it, is
    not encoded again.

    Args:
        encoder: as `index.dense.encoder` of a graph names one.
        cluster: see `rag.indexing.build_index`.
    Raises:
        IndexProblem: no index, or one without a dense leg; or the disk is full. The index itself is never touched.
        MissingModel: the encoder is not there.
    """
    home = home_of(path)
    shadow = shadow_of(home)
    with LocalIndex.open(home) as live, encoders_of(cluster) as encoders:
        if "dense" not in live.legs:
            raise IndexProblem(
                f"index '{home}' has no vectors, so there is no encoder to change. Give it a dense leg first"
            )
        settings = _with_encoder(live.manifest.settings, encoder)
        place = DirectoryWriter(shadow)
        build = Build(
            _TakeOver(live),
            place,
            settings=settings,
            legs=live.legs,
            labels=Given.before(live) if live.labelled else None,
            prune=True,
            most_lost=1.0,
            encoders=encoders,
            progress=progress,
        )
        made = ""

        def write(new: Building) -> IndexReport:
            nonlocal made
            made = "" if new.previous is None else newest_stamp(shadow)  # if there is nothing to write
            report = build.run(new)
            made = new.stamp
            return report

        with explained(place):
            (shadow / _OF).unlink(missing_ok=True)  # it is of nothing, until it is whole
            report = published(place, write, progress=progress)
            write_atomically(shadow / _OF, f"{live.generation}\n{made}\n")
    return report


def require_fresh(path: str | Path) -> None:
    """Return if there is a shadow, it is of the index as it is now, and nobody has changed it since.

    Raises:
        IndexProblem: it is not so.
    """
    home = home_of(path)
    shadow = shadow_of(home)
    if not (shadow / CURRENT).exists():
        raise IndexProblem(f"index '{home}' has no shadow. Build it: rag index --index {home} --shadow --encoder NAME")
    try:
        of, made = (shadow / _OF).read_text("ascii").splitlines()
    except (OSError, ValueError):
        of = made = ""
    again = f"which encodes only what is new: rag index --index {home} --shadow --encoder NAME"
    if of != newest_stamp(home):
        raise IndexProblem(
            f"the shadow of index '{home}' is of an older state of it, or not whole. Bring it up to date, {again}"
        )
    if made != newest_stamp(shadow):
        raise IndexProblem(
            f"the shadow of index '{home}' was changed after it was built, so it does not hold what the index holds. "
            f"Both stay as they are. Change the index itself, then bring its shadow up to date, {again}"
        )


def promote_shadow(path: str | Path) -> None:
    """Put the shadow in the place of the index, in one step that readers see whole; then it is gone.

    Raises:
        IndexProblem: there is none, it is of an older state, somebody changed it, it is damaged, another process builds
            either, or the disk is full. Both are as they were.
    """
    home = home_of(path)
    shadow = shadow_of(home)
    require_fresh(home)
    with explained(DirectoryWriter(home)), only_builder(shadow):
        with LocalIndex.open(shadow) as index, verified(home) as new:
            require_fresh(home)  # nobody else can build either any more
            index.verify()
            new.fill(index.folder)
            if index.manifest.parts:
                _take_parts(index, new)
        try:
            remove_whole(shadow)
        except IndexProblem as problem:
            log.warning("the shadow is the index now; %s", problem)


def drop_shadow(path: str | Path) -> bool:
    """Delete the shadow; whether there was one.

    Raises:
        IndexBusy: another process builds it.
        IndexProblem: something in it cannot be deleted.
    """
    shadow = shadow_of(path)
    if not shadow.exists():
        return False
    with only_builder(shadow):
        remove_whole(shadow)
    return True


def _take_parts(index: LocalIndex, new: Building) -> None:
    """Parts are named by where they lie, so they get other names here."""
    names = [new.adopt(part.folder).name for part in index.stored.parts]
    parts = tuple(
        part.model_copy(update={"name": name}) for part, name in zip(index.manifest.parts, names, strict=True)
    )
    write_manifest(new.folder, index.manifest.model_copy(update={"parts": parts}))


def _with_encoder(settings: IndexSettings, encoder: Any) -> IndexSettings:
    said = settings.model_dump(mode="json", exclude_unset=True)
    dense = {key: value for key, value in said.get("dense", {}).items() if key != "revision"}
    return IndexSettings.model_validate({**said, "dense": {**dense, "encoder": encoder}})
