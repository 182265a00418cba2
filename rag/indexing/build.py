"""One build of an index, from discovery to the manifest: what is read, reused and written, in which order."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.core.errors import IndexProblem, SpecError
from rag.core.progress import Progress
from rag.indexing.units import Planned, UnitMaker, plan, write_units
from rag.ingest import Discovery, Problem, discover, word_spans
from retrievers.index.digests import describe_files
from retrievers.index.directory import LocalIndex
from retrievers.index.documents import Documents
from retrievers.index.generations import Building
from retrievers.index.manifest import (
    MANIFEST,
    CorpusFacts,
    Manifest,
    ragline_version,
    write_manifest,
)
from retrievers.index.old_formats import format_of
from retrievers.index.settings import IndexSettings, leg_kind
from retrievers.index.sources import SOURCES, SourceRecord, corpus_sha256, read_sources, write_sources
from retrievers.index.writer import DocumentsWriter, first_duplicate
from retrievers.legs.protocol import MADE_BY, Before, Built, Job, LegMaker, LegRuler, maker_reads

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What a build did.

    `problems`: files that are not in the index, or not wholly, and why; `unread`: those of them that are not in it at
    all. `ignored`: files of kinds that nothing reads. `n_reused_vectors`: units whose vector was taken from the index
    before. `n_encoded`: texts that went through the encoder; what a killed build had already encoded is in neither.
    `n_represented`: texts that a chat model read. `counts`: these three and what other legs count, by leg. `seconds`: by
    part of the work. `peak_memory_bytes`: of this process since it started. `unchanged`: there was nothing to do or to
    write.
    """

    path: Path
    legs: tuple[str, ...]
    n_files: int
    n_documents: int
    n_units: int
    n_reused_files: int
    n_encoded: int = 0
    n_reused_vectors: int = 0
    n_represented: int = 0
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unread: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    size_bytes: int = 0
    unchanged: bool = False


class UnchangedError(Exception):
    """Leaves the build without publishing."""

    def __init__(self, report: IndexReport) -> None:
        self.report = report


class Build:
    """One build, from discovery to the manifest. Publishing is the caller's."""

    def __init__(
        self,
        sources: Sequence[Path],
        home: Path,
        *,
        settings: IndexSettings,
        legs: tuple[str, ...],
        progress: Progress,
    ) -> None:
        self._sources, self._home = sources, home
        self._settings, self._legs, self._progress = settings, legs, progress
        self._seconds: dict[str, float] = {}

    def run(self, new: Building) -> IndexReport:
        """Write everything into the folder of `new`.

        Raises:
            UnchangedError: the current index is what this would write.
        """
        previous = self._reusable() if new.previous else None
        try:
            return self._run(new, previous)
        finally:
            if previous is not None:
                previous.close()

    def _run(self, new: Building, previous: LocalIndex | None) -> IndexReport:
        makers = {leg: leg_kind(leg).maker(self._settings) for leg in self._legs}
        described = {leg: maker.describe() for leg, maker in makers.items()}
        ruler = _ruler(makers.values())
        with self._timed("read"):
            maker = UnitMaker(self._settings, spans=ruler.spans, ruler=ruler.facts)
            discovery = self._discover()
            before = read_sources(previous.file(SOURCES)) if previous else ()
            planned, problems = plan(discovery.files, maker, before=before, progress=self._progress)
            records, more_problems = self._write_documents(new, planned, maker, previous)
        told = (*discovery.problems, *problems, *more_problems)
        read = {record.name for record in records}
        report = IndexReport(
            path=self._home,
            legs=self._legs,
            n_files=len(records),
            n_documents=sum(record.n_documents for record in records),
            n_units=sum(record.n_units for record in records),
            n_reused_files=sum(each.before is not None for each in planned),
            problems=told,
            unread=tuple(dict.fromkeys(problem.name for problem in told if problem.name not in read)),
            ignored=discovery.ignored,
        )
        self._require_text(report)
        if previous and records == list(before) and self._same(previous, described):
            raise UnchangedError(self._finished(report, previous.manifest))
        documents = Documents(new.folder)
        _require_distinct(new.folder, documents, records)
        facts: dict[str, dict[str, Any]] = {}
        counts: dict[str, Mapping[str, int]] = {}
        for leg, leg_maker in makers.items():
            built = self._build_leg(new, leg, leg_maker, documents, self._before(previous, leg, described[leg]))
            facts[leg] = built.facts | ({MADE_BY: described[leg]} if described[leg] else {})
            counts |= {leg: built.counts} if built.counts else {}
        with self._timed("digests"):
            manifest = self._manifest(new.folder, records, facts, ruler.facts, documents)
            write_manifest(new.folder, manifest)
        return self._finished(_counted(report, counts), manifest)

    def _build_leg(
        self, new: Building, leg: str, maker: LegMaker, documents: Documents, before: Before | None
    ) -> Built:
        start = time.perf_counter()
        folder = new.folder / leg
        folder.mkdir()
        texts, work = documents.texts_for(maker_reads(maker.describe())), new.work / leg
        built = maker.build(Job(texts=texts, folder=folder, work=work, before=before, progress=self._progress))
        seconds = {leg: time.perf_counter() - start - sum(built.seconds.values()), **built.seconds}
        for part, spent in seconds.items():
            self._seconds[part] = self._seconds.get(part, 0.0) + spent
        return built

    def _before(self, previous: LocalIndex | None, leg: str, described: Mapping[str, Any]) -> Before | None:
        """The leg of the index before, if the same model made it."""
        if previous is None or not described or _made_by(previous, leg) != described:
            return None
        files = previous.manifest.files
        return Before(
            leg=lambda: previous.leg(leg),
            texts=previous.documents.texts_for(maker_reads(described)),
            file=lambda name: previous.file(name) if name in files else None,
        )

    def _reusable(self) -> LocalIndex | None:
        """The index that is there, all of it checked; None where it cannot be used, and all is made anew."""
        previous = None
        try:
            previous = LocalIndex.open(self._home)
            previous.verify(progress=self._progress)
            if sum(record.n_units for record in read_sources(previous.file(SOURCES))) != len(previous.documents):
                raise IndexProblem(f"index '{self._home}': its sources do not fit its documents")
            return previous
        except IndexProblem as problem:
            if previous is not None:
                previous.close()
            log.warning("%s; building it from nothing", problem)
            return None

    def _discover(self) -> Discovery:
        """What the sources hold, without the index itself where it lies inside a source."""
        home = self._home.resolve()
        found = discover(self._sources)
        return replace(found, files=tuple(file for file in found.files if not file.path.resolve().is_relative_to(home)))

    def _write_documents(
        self, new: Building, planned: Sequence[Planned], maker: UnitMaker, previous: LocalIndex | None
    ) -> tuple[list[SourceRecord], list[Problem]]:
        with DocumentsWriter(new.folder) as writer:
            records, problems = write_units(
                planned,
                maker,
                writer,
                previous=previous.documents if previous else None,
                progress=self._progress,
            )
        write_sources(new.folder, records)
        return records, problems

    def _require_text(self, report: IndexReport) -> None:
        if report.n_units:
            return
        where = ", ".join(f"'{source}'" for source in self._sources) or "no sources"
        problems = [f"  {problem}" for problem in report.problems[:10]]
        if report.ignored:
            problems.append(f"  {len(report.ignored)} files of unknown kinds, such as {report.ignored[0]}")
        raise SpecError(f"nothing to index in {where}: {report.n_files} readable files, none with text", *problems)

    def _same(self, previous: LocalIndex, described: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether a build from the same units would write again what is there."""
        manifest, legs = previous.manifest, self._legs
        if legs != previous.legs or manifest.ragline_version != ragline_version():
            return False
        same_makers = all(_made_by(previous, leg) == described[leg] for leg in legs)
        return same_makers and manifest.settings.counted(legs) == self._settings.counted(legs)

    def _manifest(
        self,
        folder: Path,
        records: Sequence[SourceRecord],
        legs: Mapping[str, Mapping[str, Any]],
        ruler: Mapping[str, Any],
        documents: Documents,
    ) -> Manifest:
        return Manifest(
            format_version=format_of(self._legs, shared_metadata=documents.shares_metadata),
            ragline_version=ragline_version(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            legs=json.loads(json.dumps(legs)),
            settings=self._settings,
            ruler=json.loads(json.dumps(ruler)),
            corpus=CorpusFacts(
                sha256=corpus_sha256((record.name, record.sha256) for record in records),
                n_files=len(records),
                n_documents=sum(record.n_documents for record in records),
                n_units=sum(record.n_units for record in records),
                kinds=tuple(sorted({kind for record in records for kind in record.kinds})),
            ),
            files=describe_files(folder, leave_out=(MANIFEST,)),
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


def _ruler(makers: Iterable[LegMaker]) -> LegRuler:
    """What chunks are measured in: as the first leg says that says it, else in words."""
    rulers = (maker.ruler() for maker in makers)
    return next((ruler for ruler in rulers if ruler), LegRuler(facts={"kind": "words"}, spans=word_spans))


def _made_by(index: LocalIndex, leg: str) -> Mapping[str, Any]:
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
