"""A second index inside an index, with another encoder: built while the first one serves, and put in its place in one step.

    DIR/shadow/       an index directory of its own, of the same passages
    DIR/shadow/of     the generation of DIR that it was made of

Every generation is of one encoder, and readers open one generation, so no answer is ever from two spaces.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rag.core.cluster import Cluster
from rag.core.errors import IndexProblem
from rag.core.files import write_atomically
from rag.core.progress import Progress, silent
from rag.indexing.build import Build, IndexReport
from rag.indexing.encoders import encoders_of
from rag.indexing.labels import Given
from rag.indexing.past import Past, holdings_of
from rag.indexing.place import DirectoryWriter
from rag.indexing.publish import home_of, published
from rag.indexing.selection import Chosen, MayCopy, Selection
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import CURRENT, building, hold_current, newest_stamp
from retrievers.index.settings import IndexSettings

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
        shadow.mkdir(exist_ok=True)
        (shadow / _OF).unlink(missing_ok=True)  # it is of nothing, until it is whole
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
        report = published(place, build.run, progress=progress)
        write_atomically(shadow / _OF, f"{live.generation}\n")
    return report


def require_fresh(path: str | Path) -> None:
    """Return if there is a shadow, and it is of the index as it is now.

    Raises:
        IndexProblem: it is not.
    """
    home = home_of(path)
    shadow = shadow_of(home)
    if not (shadow / CURRENT).exists():
        raise IndexProblem(f"index '{home}' has no shadow. Build it: rag index --index {home} --shadow --encoder NAME")
    try:
        of = (shadow / _OF).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        of = ""
    if of != newest_stamp(home):
        raise IndexProblem(
            f"the shadow of index '{home}' is of an older state of it, or not whole. Bring it up to date, which encodes "
            f"only what is new: rag index --index {home} --shadow --encoder NAME"
        )


def promote_shadow(path: str | Path) -> None:
    """Put the shadow in the place of the index, in one step that readers see whole; then it is gone.

    Raises:
        IndexProblem: there is none, it is of an older state, it is damaged, or another process builds here. The index is
            as it was.
    """
    home = home_of(path)
    shadow = shadow_of(home)
    require_fresh(home)
    with LocalIndex.open(shadow) as index:
        index.verify()
    with building(home) as new:
        require_fresh(home)  # nobody else can build here any more
        held = hold_current(shadow)
        try:
            new.fill(held.folder)
        finally:
            held.close()
    drop_shadow(home)


def drop_shadow(path: str | Path) -> bool:
    """Delete the shadow; whether there was one."""
    shadow = shadow_of(path)
    if not shadow.exists():
        return False
    (shadow / _OF).unlink(missing_ok=True)  # first: what is left of it, if this is killed, is of nothing
    shutil.rmtree(shadow)
    return True


def _with_encoder(settings: IndexSettings, encoder: Any) -> IndexSettings:
    said = settings.model_dump(mode="json", exclude_unset=True)
    dense = {key: value for key, value in said.get("dense", {}).items() if key != "revision"}
    return IndexSettings.model_validate({**said, "dense": {**dense, "encoder": encoder}})
