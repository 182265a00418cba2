"""Documents that are written -> what is made of them: near-duplicates, legs, and the manifest of the folder."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.core.progress import Progress
from rag.indexing.encoders import Encoders
from rag.ingest import word_spans
from retrievers.index.built import BuiltIndex
from retrievers.index.contents import Contents
from retrievers.index.digests import describe_files
from retrievers.index.documents import Documents, StoredDocuments
from retrievers.index.manifest import FORMAT_VERSION, MANIFEST, CorpusFacts, Manifest, ragline_version, write_manifest
from retrievers.index.near_duplicates import write_duplicates
from retrievers.index.parts import Parts
from retrievers.index.settings import IndexSettings
from retrievers.index.sources import SourceRecord, corpus_sha256
from retrievers.legs.beside import Beside
from retrievers.legs.protocol import (
    KIND,
    MADE_BY,
    Before,
    Built,
    Choice,
    Encodes,
    Facts,
    Job,
    LegMaker,
    LegRuler,
    Merges,
    ReadBeside,
    ReadsForOthers,
)
from retrievers.stores.computed import in_this_process

BeforeOf = Callable[[str, LegMaker], Before | None]
"""Name and maker of a leg -> the same leg over other documents, where what it has need not be computed again."""

_HERE = Encoders()


class Timings:
    """Seconds by part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, part: str, seconds: float) -> None:
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.add(part, time.perf_counter() - start)


@dataclass(frozen=True, slots=True)
class Made:
    """A folder with its manifest written. `counts`: texts by what each leg did with them."""

    manifest: Manifest
    counts: Mapping[str, Mapping[str, int]]


class Legs:
    """The legs that an index with these settings has.

    `ruler`: what chunks are measured in: as the first leg says that says it, else in words.

    `encoders`: where their models read texts.

    Raises:
        MissingModel: a model is not here and cannot be fetched.
    """

    def __init__(
        self,
        settings: IndexSettings,
        legs: Sequence[str],
        timings: Timings,
        progress: Progress,
        *,
        encoders: Encoders = _HERE,
    ) -> None:
        self.settings, self._timings, self._progress, self._encoders = settings, timings, progress, encoders
        self.makers = {leg: settings.kind(leg).maker(settings) for leg in legs}
        self._described = {leg: maker.describe() for leg, maker in self.makers.items()}
        rulers = (maker.ruler() for maker in self.makers.values())
        self.ruler = next((ruler for ruler in rulers if ruler), LegRuler(facts={"kind": "words"}, spans=word_spans))

    def same_as(self, index: BuiltIndex) -> bool:
        """Whether a build of the same units would write again what an index has."""
        manifest, legs = index.manifest, tuple(self.makers)
        if legs != index.legs or manifest.ragline_version != ragline_version():
            return False
        same_makers = all(maker.same_as(_made_by(index, leg)) for leg, maker in self.makers.items())
        return same_makers and manifest.settings.counted(legs) == self.settings.counted(legs)

    def chosen_alike(self, legs: Mapping[str, Facts]) -> bool:
        """Whether legs with these facts are what a build would choose, where settings leave that to it."""
        return all(choice.stands_in(legs[leg]) for leg, choice in self._choices(legs))

    def chosen(self, legs: Mapping[str, Facts]) -> dict[str, str]:
        """Leg -> what it is, and why, where settings leave that to the build."""
        return {leg: choice.sentence(legs[leg]) for leg, choice in self._choices(legs)}

    def _choices(self, legs: Mapping[str, Facts]) -> Iterator[tuple[str, Choice]]:
        for leg, maker in self.makers.items():
            if choice := maker.choice(legs[leg]):
                yield leg, choice

    def before(self, index: BuiltIndex, leg: str, maker: LegMaker) -> Before | None:
        """The leg of an index, if the same model made it."""
        if leg not in index.legs:
            return None
        described = _made_by(index, leg)
        if not described or not maker.same_as(described):
            return None
        files = index.manifest.files
        return Before(
            leg=lambda: index.leg(leg),
            texts=index.documents.texts_for(described),
            file=lambda name: index.file(name) if name in files else None,
        )

    def write(
        self,
        folder: Path,
        work: Path,
        records: Sequence[SourceRecord],
        *,
        before: BeforeOf,
        parts: Parts | None = None,
    ) -> Made:
        """Write all into a folder that has its documents and sources.

        Args:
            parts: in which the same documents lie already.
        """
        documents = Documents(folder)
        with self._timings.timed("near-duplicates"):
            write_duplicates(folder, documents, parts.keys() if parts else None)
        facts: dict[str, dict[str, Any]] = {}
        counts: dict[str, Mapping[str, int]] = {}
        kinds = {leg: self.settings.kind(leg) for leg in self.makers}
        merges = {leg: kind for leg, kind in kinds.items() if isinstance(kind, Merges)}
        merged = {leg: self._merge(leg, kind, folder, parts) for leg, kind in merges.items()} if parts else {}
        left = [leg for leg in self.makers if leg not in merged]
        jobs = {leg: self._job(leg, folder, work, documents, before) for leg in left}
        for leg, kind in kinds.items():
            built = merged.get(leg) or self._build(leg, jobs)
            named = {KIND: type(kind).name} if leg in self.settings.legs else {}
            facts[leg] = named | built.facts | ({MADE_BY: self._described[leg]} if self._described[leg] else {})
            counts |= {leg: built.counts} if built.counts else {}
        with self._timings.timed("digests"):
            manifest = Manifest(
                format_version=FORMAT_VERSION,
                ragline_version=ragline_version(),
                created=now(),
                legs=json.loads(json.dumps(facts)),
                settings=self.settings,
                ruler=json.loads(json.dumps(self.ruler.facts)),
                corpus=corpus_facts(records),
                files=describe_files(folder, leave_out=(MANIFEST,)),
            )
            write_manifest(folder, manifest)
        return Made(manifest, counts)

    def _merge(self, leg: str, kind: Merges, home: Path, parts: Parts) -> Built:
        folder = home / leg
        folder.mkdir()
        with self._timings.timed(leg):
            return Built(facts=kind.merge(parts.opening(leg, parts.facts(leg), lambda where: None), folder))

    def _job(self, leg: str, home: Path, work: Path, documents: StoredDocuments, before: BeforeOf) -> Job:
        kind, described = self.settings.kind(leg), self._described[leg]
        apply = (
            self._encoders.apply_of(leg, type(kind).name, described) if isinstance(kind, Encodes) else in_this_process
        )
        return Job(
            texts=documents.texts_for(described),
            languages=documents.languages,
            folder=home / leg,
            work=work / leg,
            before=before(leg, self.makers[leg]),
            progress=self._progress,
            apply=apply,
            contents=Contents.of(home),
        )

    def _build(self, leg: str, jobs: dict[str, Job]) -> Built:
        """`jobs`: of this leg, which is taken out, and of those that are built after it."""
        start = time.perf_counter()
        job, maker = jobs.pop(leg), self.makers[leg]
        job.folder.mkdir()
        if job.apply is in_this_process:
            job = replace(job, beside=self._beside(maker, jobs))
        built = maker.build(job)
        seconds = {leg: time.perf_counter() - start - sum(built.seconds.values()), **built.seconds}
        for part, spent in seconds.items():
            self._timings.add(part, spent)
        return built

    def _beside(self, maker: LegMaker, later: Mapping[str, Job]) -> list[Beside]:
        """What takes part in a maker's reading, of the legs that are built after its own."""
        reading = maker.reading() if isinstance(maker, ReadsForOthers) else None
        if reading is None:
            return []
        others = ((self.makers[leg], job) for leg, job in later.items())
        able = ((other, job) for other, job in others if isinstance(other, ReadBeside))
        return [other.beside(job) for other, job in able if other.reading() == reading]


def corpus_facts(records: Sequence[SourceRecord]) -> CorpusFacts:
    """What the files of these records gave together."""
    return CorpusFacts(
        sha256=corpus_sha256((record.name, record.sha256) for record in records),
        n_files=len(records),
        n_documents=sum(record.n_documents for record in records),
        n_units=sum(record.n_units for record in records),
        kinds=tuple(sorted({kind for record in records for kind in record.kinds})),
        languages=languages_of(records),
    )


def languages_of(records: Iterable[SourceRecord]) -> dict[str, int]:
    """Code -> documents, the most first."""
    counts = Counter[str]()
    for record in records:
        counts.update(dict(record.languages))
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def now() -> str:
    """The time, as manifests say it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _made_by(index: BuiltIndex, leg: str) -> Mapping[str, Any]:
    made_by: Mapping[str, Any] = index.manifest.legs.get(leg, {}).get(MADE_BY) or {}  # type: ignore[assignment]
    return made_by
