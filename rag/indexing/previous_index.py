"""The index that a build finds: all of it checked, or what is left of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from rag.core.errors import IndexProblem, NewerIndex
from rag.core.progress import Progress
from retrievers.index.access import LABELS
from retrievers.index.built import BuiltIndex, holdings_of
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import CURRENT, generations
from retrievers.index.manifest import read_manifest
from retrievers.index.settings import IndexSettings
from retrievers.index.sources import ROOTS, Holding, Source, SourceRecord, read_roots

log = logging.getLogger(__name__)

ACCESS_KEY = "access"
"""Where documents have their label, if nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """`index`: None where there is none, or none whose files can be trusted. `holdings`: then without records.

    `access`: the key of the metadata that says who may read a document; also of a damaged index, which must not come back
    open to all. `own_statistics`: whoever asks has statistics of their own. `contents`: a build for it also reads files that
    hold no text.
    """

    index: BuiltIndex | None = None
    holdings: tuple[Holding, ...] = ()
    settings: IndexSettings | None = None
    legs: tuple[str, ...] = ()
    access: str | None = None
    own_statistics: bool = False
    contents: bool = False

    @property
    def records(self) -> list[SourceRecord]:
        """Of all sources, in row order."""
        return [record for holding in self.holdings for record in holding.records]

    @property
    def n_documents(self) -> int:
        return sum(record.n_documents for record in self.records)


@contextmanager
def past(
    home: Path, *, elsewhere: Callable[[], BuiltIndex | None] = lambda: None, rebuild: bool, progress: Progress
) -> Iterator[Past]:
    """The index in `home`, held open. Of a damaged one the list of sources, so that all of them are read again.

    Args:
        elsewhere: gives the index that is brought up to date where `home` holds none.
        rebuild: of a damaged one, nothing.
    Raises:
        IndexProblem: it is damaged, and nobody can say any more what it held; or it is of a newer version.
    """
    index: BuiltIndex | None = None
    settings: IndexSettings | None = None
    legs: tuple[str, ...] = ()
    before = Past()
    try:
        index = LocalIndex.open(home) if (home / CURRENT).exists() else elsewhere()
        if index is not None:
            settings, legs = index.manifest.settings, index.legs
            index.verify(progress=progress)
            access, own = _access_of(settings)
            holdings = holdings_of(index)
            before = Past(
                index=index, holdings=holdings, settings=settings, legs=legs, access=access, own_statistics=own
            )
    except IndexProblem as problem:
        if index is not None:
            index.close()
        if isinstance(problem, NewerIndex) and not rebuild:  # it is whole, and what it says more would be lost
            raise
        access, own = _access_of_damaged(home) if settings is None else _access_of(settings)
        if rebuild:
            log.warning("%s; building it from nothing", problem)
            yield Past(access=access, own_statistics=own)
            return
        sources = _sources_of_damaged(home)
        if not sources:
            raise IndexProblem(
                f"{problem}\nWhat it held cannot be read any more. Name all its sources, and give --prune to build it "
                "anew from them"
            ) from problem
        log.warning("%s; reading all its sources again", problem)
        holdings = tuple(map(Holding, sources))
        yield Past(holdings=holdings, settings=settings, legs=legs, access=access, own_statistics=own)
        return
    with index or nullcontext():
        yield before


def _access_of(settings: IndexSettings) -> tuple[str | None, bool]:
    return settings.reading.access, settings.reading.own_statistics


def _access_of_damaged(home: Path) -> tuple[str | None, bool]:
    """As manifests say that can still be read, the newest first; statistics of one's own if any says so.

    Where none names a key, it is the usual one if some generation has labels: which one it was, nobody can say any more.
    """
    said = []
    for generation in reversed(generations(home)):
        with suppress(IndexProblem):
            said.append(_access_of(read_manifest(generation, name=str(home)).settings))
    key = next((key for key, _ in said if key), None)
    labelled = any((generation / LABELS).exists() for generation in generations(home))
    return key or (ACCESS_KEY if labelled else None), any(own for _, own in said)


def _sources_of_damaged(home: Path) -> Sequence[Source]:
    """As the newest generation tells that still can. Nothing is taken from them but where to read."""
    for generation in reversed(generations(home)):
        try:
            return read_roots(generation / ROOTS)
        except IndexProblem:
            continue
    return ()
