"""One build of an index, from discovery to the manifest: what is read, reused and written, in which order."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.core.errors import IndexProblem, SpecError
from rag.core.progress import Progress
from rag.indexing.languages import warn_of_language
from rag.indexing.past import Past, past
from rag.indexing.selection import Select, Selection
from rag.indexing.units import Planned, UnitMaker, plan, write_units
from rag.ingest import Problem, word_spans
from retrievers.index.built import BuiltIndex, IndexWriter
from retrievers.index.digests import describe_files
from retrievers.index.documents import Documents
from retrievers.index.generations import Building
from retrievers.index.manifest import (
    MANIFEST,
    CorpusFacts,
    Manifest,
    ragline_version,
    write_manifest,
)
from retrievers.index.near_duplicates import write_duplicates
from retrievers.index.old_formats import format_of
from retrievers.index.settings import IndexSettings, leg_kind
from retrievers.index.sources import Holding, SourceRecord, corpus_sha256, write_sources
from retrievers.index.writer import DocumentsWriter, first_duplicate
from retrievers.legs import LEGS, USUAL
from retrievers.legs.protocol import MADE_BY, Before, Built, Job, LegMaker, LegRuler, maker_reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A file that gives fewer documents than it gave the index before, or is not in it any more."""

    name: str
    n_documents: int


class TooMuchLost(IndexProblem):
    """A build would lose more than it may. `losses`: what would go; `n_before`: documents of the index as it is."""

    def __init__(self, message: str, *, losses: tuple[Loss, ...], n_before: int) -> None:
        self.losses, self.n_before = losses, n_before
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What a build did.

    `n_sources`: of all files. `losses`: what went that the index before had.

    `problems`: files that are not in the index, or not wholly, and why; `unread`: those of them that are not in it at
    all. `ignored`: files of kinds that nothing reads. `n_reused_vectors`: units whose vector was taken from the index
    before. `n_encoded`: texts that went through the encoder; what a killed build had already encoded is in neither.
    `languages`: code -> documents, "" for those of none that is known; empty where nobody looked.
    `n_represented`: texts that a chat model read. `counts`: these three and what other legs count, by leg. `seconds`: by
    part of the work. `peak_memory_bytes`: of this process since it started. `unchanged`: there was nothing to do or to
    write.
    """

    path: Path | str
    legs: tuple[str, ...]
    n_files: int
    n_documents: int
    n_units: int
    n_reused_files: int
    n_sources: int = 1
    n_encoded: int = 0
    n_reused_vectors: int = 0
    n_represented: int = 0
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unread: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    size_bytes: int = 0
    unchanged: bool = False


MOST_LOSSES = 10
"""Files that a refusal names; the rest is one number."""


class UnchangedError(Exception):
    """Leaves the build without publishing."""

    def __init__(self, report: IndexReport) -> None:
        self.report = report


class Build:
    """One build, from discovery to the manifest. Publishing is the caller's.

    Args:
        settings, legs: as the index before has them, where they are None.
        prune: whatever the index before has and this build does not name may go.
        most_lost: share of the documents before that may go.
    """

    def __init__(
        self,
        select: Select,
        place: IndexWriter,
        *,
        settings: IndexSettings | None,
        legs: Sequence[str] | None,
        prune: bool,
        most_lost: float,
        progress: Progress,
    ) -> None:
        self._select, self._place = select, place
        self._settings, self._legs = settings, legs
        self._prune, self._most_lost, self._progress = prune, most_lost, progress
        self._seconds: dict[str, float] = {}

    def run(self, new: Building) -> IndexReport:
        """Write everything into the folder of `new`.

        Raises:
            UnchangedError: the current index is what this would write.
            TooMuchLost: it may not.
        """
        place = self._place
        with past(place.home, elsewhere=place.before, rebuild=self._prune, progress=self._progress) as before:
            settings = self._settings or before.settings or IndexSettings()
            legs = LEGS.ordered(self._legs if self._legs is not None else before.legs or USUAL)
            if lost := [leg for leg in before.legs if leg not in legs and not self._prune]:
                raise IndexProblem(
                    f"index '{place.address}' has a {lost[0]} leg, which the graph does not search. Give the graph that it "
                    "was built for, or none; or --prune, to drop the leg"
                )
            place.require(settings, legs)
            return self._run(new, before, settings, legs)

    def _run(self, new: Building, before: Past, settings: IndexSettings, legs: tuple[str, ...]) -> IndexReport:
        makers = {leg: leg_kind(leg).maker(settings) for leg in legs}
        described = {leg: maker.describe() for leg, maker in makers.items()}
        ruler = _ruler(makers.values())
        with self._timed("read"):
            maker = UnitMaker(settings, ruler)
            selection = self._select(before, maker.may_copy)
            planned, problems = plan(selection, maker, before=before.records, progress=self._progress)
            holdings, more_problems, shared = self._write_documents(new, selection, planned, maker, before.index)
        records = [record for holding in holdings for record in holding.records]
        notices = (*selection.problems, *problems, *more_problems)
        read = {record.name for record in records}
        report = IndexReport(
            path=self._place.address,
            legs=legs,
            n_sources=len(holdings),
            n_files=len(records),
            n_documents=sum(record.n_documents for record in records),
            languages=_languages(records),
            n_units=sum(record.n_units for record in records),
            n_reused_files=sum(each.before is not None for each in planned),
            losses=_losses(before.records, records),
            problems=notices,
            unread=tuple(
                dict.fromkeys(problem.name for problem in notices if problem.lost and problem.name not in read)
            ),
            ignored=selection.ignored,
        )
        warn_of_language(settings, legs, report.languages)
        _require_text(report, selection, holdings)
        self._require_kept(report, before)
        if before.index and holdings == list(before.holdings) and _same(before.index, settings, makers):
            raise UnchangedError(self._finished(report, before.index.manifest))
        documents = Documents(new.folder)
        _require_distinct(new.folder, documents, records)
        with self._timed("near-duplicates"):
            write_duplicates(new.folder, documents)
        facts: dict[str, dict[str, Any]] = {}
        counts: dict[str, Mapping[str, int]] = {}
        for leg, leg_maker in makers.items():
            built = self._build_leg(new, leg, leg_maker, documents, self._before(before.index, leg, leg_maker))
            facts[leg] = built.facts | ({MADE_BY: described[leg]} if described[leg] else {})
            counts |= {leg: built.counts} if built.counts else {}
        with self._timed("digests"):
            manifest = _manifest(new.folder, records, settings, facts, ruler.facts, shared)
            write_manifest(new.folder, manifest)
        return self._finished(_counted(report, counts), manifest)

    def _build_leg(
        self, new: Building, leg: str, maker: LegMaker, documents: Documents, before: Before | None
    ) -> Built:
        start = time.perf_counter()
        folder = new.folder / leg
        folder.mkdir()
        job = Job(
            texts=documents.texts_for(maker_reads(maker.describe())),
            languages=documents.languages,
            folder=folder,
            work=new.work / leg,
            before=before,
            progress=self._progress,
        )
        built = maker.build(job)
        seconds = {leg: time.perf_counter() - start - sum(built.seconds.values()), **built.seconds}
        for part, spent in seconds.items():
            self._seconds[part] = self._seconds.get(part, 0.0) + spent
        return built

    def _before(self, previous: BuiltIndex | None, leg: str, maker: LegMaker) -> Before | None:
        """The leg of the index before, if the same model made it."""
        if previous is None or leg not in previous.legs:
            return None
        described = _made_by(previous, leg)
        if not described or not maker.same_as(described):
            return None
        files = previous.manifest.files
        return Before(
            leg=lambda: previous.leg(leg),
            texts=previous.documents.texts_for(maker_reads(described)),
            file=lambda name: previous.file(name) if name in files else None,
        )

    def _write_documents(
        self,
        new: Building,
        selection: Selection,
        planned: Sequence[Planned],
        maker: UnitMaker,
        previous: BuiltIndex | None,
    ) -> tuple[list[Holding], list[Problem], bool]:
        """What the sources gave, what could not be read, and whether units share metadata."""
        with DocumentsWriter(new.folder) as writer:
            records, problems = write_units(
                planned,
                maker,
                writer,
                previous=previous.documents if previous else None,
                progress=self._progress,
            )
        holdings = []
        for number, chosen in enumerate(selection.chosen):
            mine = [record for each, record in zip(planned, records, strict=True) if record and each.source == number]
            source = chosen.source.model_copy(update={"n_files": len(mine)})
            holdings.append(Holding(source, tuple(mine)))
        write_sources(new.folder, holdings)
        return holdings, problems, writer.shares_metadata

    def _require_kept(self, report: IndexReport, before: Past) -> None:
        lost, n_before = sum(loss.n_documents for loss in report.losses), before.n_documents
        if lost <= self._most_lost * n_before:
            return
        names = [f"  {loss.n_documents:,} of {loss.name}" for loss in report.losses[:MOST_LOSSES]]
        if len(report.losses) > MOST_LOSSES:
            names.append(f"  and {len(report.losses) - MOST_LOSSES:,} other files")
        raise TooMuchLost(
            "\n".join(
                [
                    f"{lost:,} of the {n_before:,} documents of index '{self._place.address}' would go:",
                    *names,
                    "Nothing was changed. If that is meant, say so: --yes, or most_lost=1.0 in Python",
                ]
            ),
            losses=report.losses,
            n_before=n_before,
        )

    def _finished(self, report: IndexReport, manifest: Manifest) -> IndexReport:
        unit = 1 if sys.platform == "darwin" else 1024
        return replace(
            report,
            seconds=dict(self._seconds),
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
            size_bytes=sum(fact.size_bytes for fact in manifest.files.values()),
        )

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[part] = self._seconds.get(part, 0.0) + time.perf_counter() - start


def _losses(before: Sequence[SourceRecord], after: Sequence[SourceRecord]) -> tuple[Loss, ...]:
    left = {record.name: record.n_documents for record in after}
    losses = [
        Loss(name=record.name, n_documents=record.n_documents - left.get(record.name, 0))
        for record in before
        if left.get(record.name, 0) < record.n_documents
    ]
    return tuple(losses)


def _require_text(report: IndexReport, selection: Selection, holdings: Sequence[Holding]) -> None:
    """Refuse an index without text, and sources that add none to one."""
    named = [holding for chosen, holding in zip(selection.chosen, holdings, strict=True) if chosen.named]
    if report.n_units and (not named or any(record.n_units for holding in named for record in holding.records)):
        return
    where = ", ".join(f"'{holding.source.root}'" for holding in named) or "no sources"
    problems = [f"  {problem}" for problem in report.problems[:10]]
    raise SpecError(f"nothing to index in {where}: no text in any of its files", *problems)


def _same(previous: BuiltIndex, settings: IndexSettings, makers: Mapping[str, LegMaker]) -> bool:
    """Whether a build from the same units would write again what is there."""
    manifest, legs = previous.manifest, tuple(makers)
    if legs != previous.legs or manifest.ragline_version != ragline_version():
        return False
    same_makers = all(maker.same_as(_made_by(previous, leg)) for leg, maker in makers.items())
    return same_makers and manifest.settings.counted(legs) == settings.counted(legs)


def _manifest(
    folder: Path,
    records: Sequence[SourceRecord],
    settings: IndexSettings,
    legs: Mapping[str, Mapping[str, Any]],
    ruler: Mapping[str, Any],
    shared_metadata: bool,
) -> Manifest:
    return Manifest(
        format_version=format_of(legs, shared_metadata=shared_metadata),
        ragline_version=ragline_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        legs=json.loads(json.dumps(legs)),
        settings=settings,
        ruler=json.loads(json.dumps(ruler)),
        corpus=CorpusFacts(
            sha256=corpus_sha256((record.name, record.sha256) for record in records),
            n_files=len(records),
            n_documents=sum(record.n_documents for record in records),
            n_units=sum(record.n_units for record in records),
            kinds=tuple(sorted({kind for record in records for kind in record.kinds})),
            languages=_languages(records),
        ),
        files=describe_files(folder, leave_out=(MANIFEST,)),
    )


def _languages(records: Iterable[SourceRecord]) -> dict[str, int]:
    """Code -> documents, the most first."""
    counts = Counter[str]()
    for record in records:
        counts.update(dict(record.languages))
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _ruler(makers: Iterable[LegMaker]) -> LegRuler:
    """What chunks are measured in: as the first leg says that says it, else in words."""
    rulers = (maker.ruler() for maker in makers)
    return next((ruler for ruler in rulers if ruler), LegRuler(facts={"kind": "words"}, spans=word_spans))


def _made_by(index: BuiltIndex, leg: str) -> Mapping[str, Any]:
    made_by: Mapping[str, Any] = index.manifest.legs.get(leg, {}).get(MADE_BY) or {}  # type: ignore[assignment]
    return made_by


def _counted(report: IndexReport, counts: Mapping[str, Mapping[str, int]]) -> IndexReport:
    def total(name: str) -> int:
        return sum(each.get(name, 0) for each in counts.values())

    return replace(
        report,
        counts=counts,
        n_encoded=total("n_encoded"),
        n_reused_vectors=total("n_reused_vectors"),
        n_represented=total("n_represented"),
    )


def _require_distinct(folder: Path, documents: Documents, records: Sequence[SourceRecord]) -> None:
    pair = first_duplicate(folder, documents)
    if pair is None:
        return
    places = []
    for row in pair:
        record = next(r for r in records if r.first_row <= row < r.first_row + r.n_units)
        places.append(f"unit {row - record.first_row + 1} of '{record.name}'")
    raise SpecError(
        f"doc_id {documents[pair[0]].doc_id!r} is given twice: {' and '.join(places)}. Ids must be distinct "
        "in one index: change one of them, or index the files separately"
    )
