"""Documents come into an index, change in it and go from it, by a call each. What does not change is not written again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rag.core.access import Asker
from rag.core.errors import IndexProblem, SpecError
from rag.core.progress import Progress, silent
from rag.core.types import Where
from rag.indexing.build import Build, IndexReport, UnchangedError, counted, finished
from rag.indexing.chain import Chained, ChainWriter, require_left, unchanged, why_anew
from rag.indexing.languages import as_before
from rag.indexing.legs import Legs, Timings, languages_of
from rag.indexing.place import DirectoryWriter
from rag.indexing.previous_index import Past
from rag.indexing.publish import home_of, published
from rag.indexing.python_documents import CORPUS, Given, write_given
from rag.indexing.removal import Removed, are_documents, removed_by
from rag.indexing.removed_rows import Rows, gone_by_record, rows_of, rows_where, sources_without
from rag.indexing.selection import Chosen, MayCopy, Selection
from rag.indexing.units import UnitMaker
from rag.indexing.writers import readable_by, settling, told_to
from rag.ingest import SourceFile, printable
from retrievers.index.built import holdings_of
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import CURRENT, Building
from retrievers.index.settings import IndexSettings
from retrievers.index.sources import Source, given_name

NOTHING: Rows = np.empty(0, dtype=np.int64)


def add_documents(
    documents: Given,
    path: str | Path,
    *,
    settings: IndexSettings | None = None,
    legs: Sequence[str] | None = None,
    asker: Asker | None = None,
    progress: Progress = silent,
) -> IndexReport:
    """Add documents to the index directory `path`, or make an index of them. What the index has is not read again.

    They are a source of their own, which an update by sources leaves alone. As those of a corpus, long
    ones are cut unless `chunking.corpora` says otherwise. Readers stay at the generation that they opened.

    Args:
        documents: see `rag.indexing.python_documents.Given`; a generator is read once, and not held.
        settings, legs: of a new index; an index that is there has its own, and these have to be the same.
        asker: who adds them; None for whoever keeps the index. Where its documents say who may read them, somebody adds
            what they may read themselves, under ids that the report names, and it counts what they may read alone
            (`rag.indexing.writers`).
    Raises:
        SpecError: no text in them, one cannot be read as a document, or an id that the index has or that comes twice; or
            the index has other settings or legs; or `asker` may not add one.
        IndexProblem: not a directory; or it is in use, damaged or holds something else, or the disk is full.
        MissingModel: the encoder is not there.
    """

    def none_go(index: LocalIndex, ids: Sequence[str]) -> Rows:
        for doc_id in ids:
            try:
                index.documents.rows_of(doc_id)
            except KeyError:
                continue
            raise SpecError(
                f"index '{index.name}' has a document {printable(doc_id)!r}. To replace it, use update_documents. "
                "Nothing was changed"
            )
        return NOTHING

    return _changed(path, none_go, documents, asker=asker, settings=settings, legs=legs, progress=progress)


def update_documents(
    documents: Given, path: str | Path, *, asker: Asker | None = None, progress: Progress = silent
) -> IndexReport:
    """Put documents in the place of those with the same ids. They are then the last of the index.

    One that came from a file stays out when that file is read again.

    Args:
        asker: who does; None for whoever keeps the index. For somebody there are only the documents that they may read,
            and one that comes without a label keeps the label that it had.
    Raises:
        IndexProblem: no index, or it has no document of some id; and as `add_documents`.
        SpecError: as `add_documents`.
    """

    def these_go(index: LocalIndex, ids: Sequence[str]) -> Rows:
        return rows_of(index, ids, readable_by(index, asker))

    return _changed(_there(path), these_go, documents, asker=asker, update=True, progress=progress)


def remove_documents(
    path: str | Path,
    *,
    ids: Iterable[str] | None = None,
    where: Where | None = None,
    asker: Asker | None = None,
    progress: Progress = silent,
) -> IndexReport:
    """Take documents out of an index: those with these ids, or those of which a passage passes a filter.

    No search finds them any more. Their bytes go when their part is merged (`merge_index`). One that came from a file
    stays out when that file is read again.

    Args:
        asker: who does; None for whoever keeps the index. For somebody there are only the documents that they may read.
    Raises:
        IndexProblem: no index, it has no document of some id, or nothing would be left; or it is in use or damaged.
        SpecError: neither or both are given, or the filter names something that no document has.
    """
    if (ids is None) == (where is None):
        raise SpecError("remove_documents takes either ids or where")
    wanted = [ids] if isinstance(ids, str) else list(ids or ())

    def these_go(index: LocalIndex, _: Sequence[str]) -> Rows:
        readable = readable_by(index, asker)
        gone = rows_of(index, wanted, readable) if where is None else rows_where(index, where, asker)
        require_left(index, gone, readable)
        return gone

    return _changed(_there(path), these_go, asker=asker, progress=progress)


def remove_targets(
    targets: Sequence[str], path: str | Path, *, most_lost: float, progress: Progress = silent
) -> IndexReport | None:
    """Take out documents as `rag.indexing.remove_from_index` names them; None where a target is a source or a file.

    Raises:
        IndexProblem, TooMuchLost: as `remove_from_index`.
    """
    home, removed = _there(path), list[Removed]()

    def these_go(index: LocalIndex, _: Sequence[str]) -> Rows:
        holdings = holdings_of(index)
        removed[:] = [removed_by(targets, Past(index=index, holdings=holdings), most_lost=most_lost)]
        return removed[0].rows

    with LocalIndex.open(home) as index:
        if not are_documents(targets, holdings_of(index)):
            return None
    report = _changed(home, these_go, progress=progress)
    return replace(report, losses=removed[0].losses)


def merge_index(path: str | Path, *, progress: Progress = silent) -> IndexReport:
    """Write an index that lies in parts as one, without what was removed from it. Rankings stay as they are.

    Raises:
        IndexProblem: no index, or it is in use or damaged.
        MissingModel: the encoder is not there.
    """
    home, timings = _there(path), Timings()

    def merged(new: Building) -> IndexReport:
        with LocalIndex.open(home) as index:
            legs = Legs(index.manifest.settings, index.legs, timings, progress)
            if not index.manifest.parts:
                raise UnchangedError(_report(home, legs, unchanged(index), timings))
            if why := why_anew(index, legs):
                raise IndexProblem(
                    f"index '{home}' cannot be merged as it is: {why}. Bring it up to date, which also makes it one: "
                    f"rag index --index {home}"
                )
            writer = ChainWriter(new, index, legs, UnitMaker(legs.settings, legs.ruler), timings, progress)
            return _report(home, legs, writer.merge(), timings)

    return published(DirectoryWriter(home), merged, progress=progress)


_LEGS_DIFFER = "its legs would come out otherwise now than they are"

GoneOf = Callable[[LocalIndex, Sequence[str]], Rows]
"""An index, and the ids of what is given -> rows that go."""


def _changed(
    path: str | Path,
    gone_of: GoneOf,
    documents: Given | None = None,
    *,
    asker: Asker | None = None,
    update: bool = False,
    settings: IndexSettings | None = None,
    legs: Sequence[str] | None = None,
    progress: Progress,
) -> IndexReport:
    home = home_of(path)
    place, ids = DirectoryWriter(home), list[str]()

    def write(new: Building) -> IndexReport:
        given = new.work / CORPUS
        try:
            if documents is not None:
                with settling(home, asker if new.previous else None, update=update) as settle:
                    ids[:] = write_given(documents, given, settle)
            file = given if documents is not None else None
            why = ""
            if new.previous is not None:
                _require_own(home, settings, legs)
                report = _chained(new, home, gone_of, ids, file, progress)
                if isinstance(report, IndexReport):
                    return report
                why = report
            select = _Rewritten(gone_of, ids, file)
            build = Build(select, place, settings=settings, legs=legs, prune=False, most_lost=1.0, progress=progress)
            return replace(build.run(new), anew=why)
        finally:
            given.unlink(missing_ok=True)

    report = replace(published(place, write, progress=progress), ids=tuple(ids))
    return report if asker is None else told_to(asker, report, home)


def _chained(
    new: Building, home: Path, gone_of: GoneOf, ids: Sequence[str], given: Path | None, progress: Progress
) -> IndexReport | str:
    """The change as parts, or why the index has to be written anew."""
    timings = Timings()
    with LocalIndex.open(home) as index:
        legs = Legs(index.manifest.settings, index.legs, timings, progress)
        if why := why_anew(index, legs):
            return why
        gone = gone_of(index, ids)
        writer = ChainWriter(new, index, legs, UnitMaker(legs.settings, legs.ruler), timings, progress)
        if not len(gone) and given is None:
            raise UnchangedError(_report(home, legs, unchanged(index), timings))
        chained = writer.change(gone, given)
        return _LEGS_DIFFER if chained is None else _report(home, legs, chained, timings)


def _report(home: Path, legs: Legs, chained: Chained, timings: Timings) -> IndexReport:
    records = [record for holding in chained.holdings for record in holding.records]
    report = IndexReport(
        path=home,
        legs=tuple(legs.makers),
        n_sources=len(chained.holdings),
        n_files=len(records),
        n_documents=sum(record.n_documents for record in records),
        languages=languages_of(records),
        n_units=sum(record.n_units for record in records),
        n_reused_files=len(records),
        problems=chained.problems,
    )
    counts = chained.made.counts if chained.made else {}
    return finished(counted(report, counts), chained.manifest, legs, timings)


@dataclass(frozen=True, slots=True)
class _Rewritten:
    """All that an index has is taken over without reading, but rows that go; documents that are given come last."""

    gone_of: GoneOf
    ids: Sequence[str]
    given: Path | None

    def __call__(self, before: Past, may_copy: MayCopy) -> Selection:
        index, holdings = before.index, list(before.holdings)
        if index is None and holdings:
            raise IndexProblem("the index is damaged, so it cannot be changed. Build it again: rag index")
        without: dict[str, tuple[str, ...]] = {}
        if index is not None:
            assert isinstance(index, LocalIndex)  # what is changed so is in a directory
            gone = gone_by_record(self.gone_of(index, self.ids), holdings, index.documents)
            without = {name: tuple(ids) for name, ids in gone.items()}
            holdings = sources_without(holdings, without)
        chosen = [Chosen(source=holding.source, kept=holding.records) for holding in holdings]
        if self.given is not None:
            name = given_name(holdings)
            file = SourceFile(path=self.given, name=name, size=self.given.stat().st_size, layout="corpus")
            if chosen and chosen[-1].source.given:
                chosen[-1] = replace(chosen[-1], files=(file,))
            else:
                chosen.append(Chosen(source=Source(name=name, root=None, given=True), files=(file,)))
        return Selection(chosen=tuple(chosen), without=without)


def _require_own(home: Path, settings: IndexSettings | None, legs: Sequence[str] | None) -> None:
    """Refuse to add under other settings than an index has: what is there would stay as it was made."""
    if settings is None and legs is None:
        return
    with LocalIndex.open(home) as index:
        before = index.manifest.settings
        wanted_settings = None if settings is None else as_before(settings, before, index.legs)
        wanted = index.legs if legs is None else (settings or before).ordered(legs)
        alike = wanted_settings is None or wanted_settings.counted(index.legs) == before.counted(index.legs)
        if wanted != index.legs or not alike:
            raise SpecError(
                f"index '{home}' has legs {', '.join(index.legs)} and settings of its own, and other ones are given. Leave "
                "them out, or build it for another graph first: rag index --graph GRAPH"
            )


def _there(path: str | Path) -> Path:
    home = home_of(path)
    if not (home / CURRENT).exists():
        raise IndexProblem(f"no index at '{home}'")
    return home
