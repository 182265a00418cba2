"""One build of an index, from discovery to the manifest: what is read, reused and written, in which order."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core.errors import IndexProblem, SpecError
from rag.core.progress import Progress
from rag.indexing.units import Planned, UnitMaker, plan, write_units
from rag.ingest import Discovery, Problem, discover, word_spans
from retrievers.index.build import build_dense, build_lexical, build_promptreps, encode
from retrievers.index.digests import describe_files
from retrievers.index.directory import Index
from retrievers.index.documents import Documents
from retrievers.index.generations import Building
from retrievers.index.manifest import (
    MANIFEST,
    CorpusFacts,
    Manifest,
    format_of,
    ragline_version,
    write_manifest,
)
from retrievers.index.settings import DenseSettings, IndexSettings, Leg, PromptRepsSettings
from retrievers.index.sources import SOURCES, SourceRecord, corpus_sha256, read_sources, write_sources
from retrievers.index.writer import DocumentsWriter, first_duplicate

if TYPE_CHECKING:
    from retrievers.encoders import SentenceEncoder
    from retrievers.promptreps_encoder import PromptRepsEncoder

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What a build did.

    `problems`: files that are not in the index, or not wholly, and why. `ignored`: files of kinds that
    nothing reads. `n_reused_vectors`: units whose vector was taken from the index before. `n_encoded`: texts
    that went through the encoder; what a killed build had already encoded is in neither. `n_represented`: texts
    that a chat model read for the promptreps leg. `seconds`: by part of the work. `peak_memory_bytes`: of this
    process since it started. `unchanged`: there was nothing to do or to write.
    """

    path: Path
    legs: tuple[Leg, ...]
    n_files: int
    n_documents: int
    n_units: int
    n_reused_files: int
    n_encoded: int = 0
    n_reused_vectors: int = 0
    n_represented: int = 0
    problems: tuple[Problem, ...] = ()
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
        legs: tuple[Leg, ...],
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

    def _run(self, new: Building, previous: Index | None) -> IndexReport:
        encoder = encoder_of(self._settings.dense) if "dense" in self._legs else None
        facts: dict[str, Any] = {"encoder": encoder.describe() if encoder else None}
        prompted = prompted_by(self._settings.promptreps) if "promptreps" in self._legs else None
        described = prompted.describe() if prompted else None
        facts["ruler"] = _ruler(facts["encoder"])
        with self._timed("read"):
            spans = encoder.spans if encoder else word_spans
            maker = UnitMaker(self._settings, spans=spans, ruler=facts["ruler"])
            found = self._discover()
            before = read_sources(previous.file(SOURCES)) if previous else ()
            planned, problems = plan(found.files, maker, before=before, progress=self._progress)
            records, more_problems = self._write_documents(new, planned, maker, previous)
        report = IndexReport(
            path=self._home,
            legs=self._legs,
            n_files=len(records),
            n_documents=sum(record.n_documents for record in records),
            n_units=sum(record.n_units for record in records),
            n_reused_files=sum(each.before is not None for each in planned),
            problems=(*found.problems, *problems, *more_problems),
            ignored=found.ignored,
        )
        self._require_text(report)
        if previous and records == list(before) and self._same(previous, facts["encoder"], described):
            raise UnchangedError(self._finished(report, previous.manifest))
        documents = Documents(new.folder)
        _require_distinct(new.folder, documents, records)
        if "lexical" in self._legs:
            with self._timed("lexical"):
                folder = new.folder / "lexical"
                facts["lexical"] = build_lexical(documents, folder, settings=self._settings, progress=self._progress)
        if encoder is not None:
            with self._timed("encode"):
                encoded = encode(documents, encoder=encoder, work=new.work, previous=previous, progress=self._progress)
                report = replace(report, n_encoded=encoded.n_encoded, n_reused_vectors=encoded.n_reused)
            with self._timed("dense"):
                folder, dense = new.folder / "dense", self._settings.dense
                facts["dense"] = build_dense(encoded.vectors, folder, settings=dense, progress=self._progress)
        if prompted is not None:
            with self._timed("promptreps"):
                folder = new.folder / "promptreps"
                facts["promptreps"], n = build_promptreps(
                    documents, folder, encoder=prompted, work=new.work, previous=previous, progress=self._progress
                )
                report = replace(report, n_represented=n)
        with self._timed("digests"):
            manifest = self._manifest(new.folder, records, facts)
            write_manifest(new.folder, manifest)
        return self._finished(report, manifest)

    def _reusable(self) -> Index | None:
        """The index that is there, all of it checked; None where it cannot be used, and all is made anew."""
        previous = None
        try:
            previous = Index.open(self._home)
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
        self, new: Building, planned: Sequence[Planned], maker: UnitMaker, previous: Index | None
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

    def _same(self, previous: Index, encoder: Mapping[str, Any] | None, prompted: Mapping[str, Any] | None) -> bool:
        """Whether a build from the same units would write again what is there."""
        manifest = previous.manifest
        wanted = (self._legs, self._settings, ragline_version(), encoder, prompted)
        before = None if manifest.promptreps is None else manifest.promptreps.get("encoder")
        return wanted == (manifest.legs, manifest.settings, manifest.ragline_version, manifest.encoder, before)

    def _manifest(self, folder: Path, records: Sequence[SourceRecord], facts: Mapping[str, Any]) -> Manifest:
        return Manifest(
            format_version=format_of(self._legs),
            ragline_version=ragline_version(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            legs=self._legs,
            settings=self._settings,
            corpus=CorpusFacts(
                sha256=corpus_sha256((record.name, record.sha256) for record in records),
                n_files=len(records),
                n_documents=sum(record.n_documents for record in records),
                n_units=sum(record.n_units for record in records),
            ),
            files=describe_files(folder, leave_out=(MANIFEST,)),
            **json.loads(json.dumps(facts)),
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


def encoder_of(settings: DenseSettings) -> SentenceEncoder:
    """The encoder that an index with these settings is built with."""
    from retrievers.encoders import SentenceEncoder

    return SentenceEncoder(model=settings.encoder, revision=settings.revision, compute=settings.compute)


def prompted_by(settings: PromptRepsSettings) -> PromptRepsEncoder:
    """The chat model that represents the units of an index with these settings."""
    from retrievers.promptreps_encoder import PromptRepsEncoder

    return PromptRepsEncoder.from_settings(settings)


def _ruler(encoder: Mapping[str, Any] | None) -> dict[str, Any]:
    """What chunks are measured in: tokens of the encoder where there is one."""
    if encoder is None:
        return {"kind": "words"}
    return {"kind": "encoder tokens", **{key: encoder[key] for key in ("name", "weights_sha256")}}


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
