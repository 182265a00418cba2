"""Files -> an index directory: read, cut, transform, build legs, publish. Knows no parser and no engine."""

from __future__ import annotations

import errno
import hashlib
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

from rag.errors import IndexProblem, SpecError
from rag.ingest import Discovery, Problem, discover, word_spans
from rag.progress import Progress, silent
from rag.units import Planned, UnitMaker, plan, write_units
from retrievers.index.build import build_dense, build_lexical, encode
from retrievers.index.digests import describe_files, sha256_of
from retrievers.index.directory import Index
from retrievers.index.documents import Documents
from retrievers.index.generations import Building, building
from retrievers.index.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    CorpusFacts,
    Manifest,
    ragline_version,
    write_manifest,
)
from retrievers.index.matching import leg_names
from retrievers.index.settings import IndexSettings, Leg
from retrievers.index.sources import SourceRecord, corpus_sha256, read_sources, write_sources
from retrievers.index.writer import DocumentsWriter, first_duplicate

if TYPE_CHECKING:
    from retrievers.encoders import SentenceEncoder

log = logging.getLogger(__name__)

_DEFAULTS = IndexSettings()


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What a build did.

    `problems`: files that are not in the index, or not wholly, and why. `ignored`: files of kinds that
    nothing reads. `n_reused_vectors`: units whose vector was taken from the index before. `n_encoded`: texts
    that went through the encoder; what a killed build had already encoded is in neither. `seconds`: by part
    of the work. `peak_memory_bytes`: of this process since it started. `unchanged`: there was nothing to do
    or to write.
    """

    path: Path
    legs: tuple[Leg, ...]
    n_files: int
    n_documents: int
    n_units: int
    n_reused_files: int
    n_encoded: int = 0
    n_reused_vectors: int = 0
    problems: tuple[Problem, ...] = ()
    ignored: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    size_bytes: int = 0
    unchanged: bool = False


def build_index(
    sources: Sequence[str | Path],
    path: str | Path,
    *,
    settings: IndexSettings = _DEFAULTS,
    legs: Sequence[str] = ("lexical", "dense"),
    progress: Progress = silent,
) -> IndexReport:
    """Index files and folders into the directory `path`, or bring the index there up to date.

    Afterwards the index holds exactly what the sources hold now. What did not change since the index that was
    there is neither parsed nor encoded again, and what a killed build had encoded is used. Until the new
    index is complete the old one is untouched, whatever happens.

    Raises:
        SpecError: no text in the sources, one doc_id in two files, or an unusable transform.
        IndexProblem: the folder is in use or holds something else, or the disk is full.
        MissingModel: the encoder is not there.
    """
    home = Path(path)
    work = _Build([Path(source) for source in sources], home, settings, leg_names(legs), progress)
    try:
        with _explained(home), building(home) as new:
            return work.run(new)
    except _UnchangedError as unchanged:
        return unchanged.report


def index_key(
    sources: Sequence[str | Path],
    *,
    settings: IndexSettings = _DEFAULTS,
    legs: Sequence[str] = ("lexical", "dense"),
) -> str:
    """Names an index by its content: equal for equal files, settings of the legs, encoder weights and
    version.

    Reads all files; fetches the encoder if it is not there, as building would.
    """
    names = leg_names(legs)
    files = discover([Path(source) for source in sources]).files
    kept = {"chunking", "transforms"} | ({"analyzer", "bm25"} if "lexical" in names else set())
    parts: dict[str, Any] = {
        "corpus": corpus_sha256((file.name, sha256_of(file.path)) for file in files),
        "settings": settings.model_dump(mode="json", include=kept),
        "legs": names,
        "version": [ragline_version(), FORMAT_VERSION],
    }
    if "dense" in names:
        parts["dense"] = settings.dense.model_dump(mode="json") | {"encoder": _encoder(settings).describe()}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class _UnchangedError(Exception):
    """Leaves the build without publishing."""

    def __init__(self, report: IndexReport) -> None:
        self.report = report


class _Build:
    """One build, from discovery to the manifest. Publishing is the caller's."""

    def __init__(
        self,
        sources: list[Path],
        home: Path,
        settings: IndexSettings,
        legs: tuple[Leg, ...],
        progress: Progress,
    ) -> None:
        self.sources, self.home, self.settings, self.legs, self.progress = (
            sources,
            home,
            settings,
            legs,
            progress,
        )
        self.seconds: dict[str, float] = {}

    def run(self, new: Building) -> IndexReport:
        previous = _reusable(self.home) if new.previous else None
        try:
            return self._run(new, previous)
        finally:
            if previous is not None:
                previous.close()

    def _run(self, new: Building, previous: Index | None) -> IndexReport:
        encoder = _encoder(self.settings) if "dense" in self.legs else None
        maker = _unit_maker(self.settings, encoder)
        with self._timed("read"):
            found = self._discover()
            before = read_sources(previous.folder) if previous else ()
            planned, problems = plan(found.files, maker, before=before, progress=self.progress)
        report = IndexReport(
            path=self.home,
            legs=self.legs,
            n_files=len(planned),
            n_documents=0,
            n_units=0,
            n_reused_files=sum(each.before is not None for each in planned),
            problems=found.problems + tuple(problems),
            ignored=found.ignored,
        )
        with self._timed("read"):
            records, problems = self._write_documents(new, planned, maker, previous)
            report = replace(report, problems=report.problems + tuple(problems))
            self._require_text(records, report)
            if previous and records == list(before) and self._same(previous, encoder):
                raise _UnchangedError(self._finished(report, previous.manifest, unchanged=True))
            documents = Documents(new.folder)
            _require_distinct(new.folder, documents, records)
        facts: dict[str, Any] = {"ruler": _ruler(encoder)}
        if "lexical" in self.legs:
            with self._timed("lexical"):
                facts["lexical"] = build_lexical(
                    documents, new.folder / "lexical", settings=self.settings, progress=self.progress
                )
        if encoder is not None:
            with self._timed("encode"):
                encoded = encode(documents, encoder=encoder, work=new.work, previous=previous, progress=self.progress)
            with self._timed("dense"):
                facts["dense"] = build_dense(
                    encoded.vectors,
                    new.folder / "dense",
                    settings=self.settings.dense,
                    progress=self.progress,
                )
            facts["encoder"] = encoder.describe()
            report = replace(report, n_encoded=encoded.n_encoded, n_reused_vectors=encoded.n_reused)
        with self._timed("digests"):
            manifest = self._manifest(new.folder, records, facts)
            write_manifest(new.folder, manifest)
        return self._finished(report, manifest)

    def _discover(self) -> Discovery:
        """What the sources hold, without the index itself where it lies inside a source."""
        home = self.home.resolve()
        found = discover(self.sources)
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
                progress=self.progress,
            )
        write_sources(new.folder, records)
        return records, problems

    def _require_text(self, records: Sequence[SourceRecord], report: IndexReport) -> None:
        if any(record.n_units for record in records):
            return
        where = ", ".join(f"'{source}'" for source in self.sources) or "no sources"
        raise SpecError(
            f"nothing to index in {where}: {report.n_files} readable files, none with text",
            *(f"  {problem}" for problem in report.problems[:10]),
            *(
                [f"  {len(report.ignored)} files of unknown kinds, such as {report.ignored[0]}"]
                if report.ignored
                else []
            ),
        )

    def _same(self, previous: Index, encoder: SentenceEncoder | None) -> bool:
        """Whether a build from the same units would write again what is there."""
        manifest = previous.manifest
        wanted = (self.legs, self.settings, ragline_version(), encoder.describe() if encoder else None)
        if wanted != (manifest.legs, manifest.settings, manifest.ragline_version, manifest.encoder):
            return False
        try:
            previous.verify(progress=self.progress)
        except IndexProblem as problem:
            log.warning("%s; building it again", problem)
            return False
        return True

    def _manifest(self, folder: Path, records: Sequence[SourceRecord], facts: Mapping[str, Any]) -> Manifest:
        return Manifest(
            format_version=FORMAT_VERSION,
            ragline_version=ragline_version(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            legs=self.legs,
            settings=self.settings,
            corpus=CorpusFacts(
                sha256=corpus_sha256((record.name, record.sha256) for record in records),
                n_files=len(records),
                n_documents=sum(record.n_documents for record in records),
                n_units=sum(record.n_units for record in records),
            ),
            files=describe_files(folder, leave_out=(MANIFEST,)),
            **json.loads(json.dumps(facts)),
        )

    def _finished(self, report: IndexReport, manifest: Manifest, *, unchanged: bool = False) -> IndexReport:
        scale = 1 if sys.platform == "darwin" else 1024
        return replace(
            report,
            n_files=manifest.corpus.n_files,
            n_documents=manifest.corpus.n_documents,
            n_units=manifest.corpus.n_units,
            unchanged=unchanged,
            seconds=dict(self.seconds),
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale,
            size_bytes=sum(fact.size_bytes for fact in manifest.files.values()),
        )

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start


def _reusable(home: Path) -> Index | None:
    """The index that is there, or None where it cannot be read: then all is made anew."""
    try:
        return Index.open(home)
    except IndexProblem as problem:
        log.warning("%s; building it from nothing", problem)
        return None


def _encoder(settings: IndexSettings) -> SentenceEncoder:
    from retrievers.encoders import SentenceEncoder

    dense = settings.dense
    return SentenceEncoder(model=dense.encoder, revision=dense.revision, compute=dense.compute)


def _unit_maker(settings: IndexSettings, encoder: SentenceEncoder | None) -> UnitMaker:
    return UnitMaker(settings, spans=encoder.spans if encoder else word_spans, ruler=_ruler(encoder))


def _ruler(encoder: SentenceEncoder | None) -> dict[str, Any]:
    if encoder is None:
        return {"kind": "words"}
    facts = encoder.describe()
    return {"kind": "encoder tokens", "name": facts["name"], "weights_sha256": facts["weights_sha256"]}


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


@contextmanager
def _explained(home: Path) -> Iterator[None]:
    """Say what a stop in the middle means for the index."""
    kept = "The index that was there is as it was" if (home / "CURRENT").exists() else "There is no index yet"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped while indexing into '{home}'. {kept}; the next run goes on from the finished vectors"
        ) from None
    except OSError as cause:
        if not _disk_is_full(cause):
            raise
        raise IndexProblem(
            f"no room to write the index '{home}': {cause}. {kept}. Free some space there, or choose another "
            "--index, and run again; finished vectors are kept"
        ) from cause


def _disk_is_full(cause: OSError) -> bool:
    # numpy reports a short write in words alone.
    return cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or (cause.errno is None and "written" in str(cause))
