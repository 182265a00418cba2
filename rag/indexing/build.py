"""One build of an index, from discovery to the manifest: what is read, reused and written, in which order."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from rag.core.errors import IndexProblem, RagError, SpecError
from rag.core.plugins import shipped
from rag.core.progress import Progress
from rag.indexing.encoders import Encoders
from rag.indexing.labels import Given, access_of, labelled
from rag.indexing.languages import (
    USUAL_LANGUAGE,
    as_before,
    by_languages,
    chosen_by_languages,
    chosen_language,
    in_language,
    languages_glimpsed,
    languages_seen,
    most_seen,
    named_language,
    reads_words,
    warn_of_language,
)
from rag.indexing.legs import Legs, Timings, languages_of
from rag.indexing.loss_limit import Loss, losses_of, require_kept
from rag.indexing.previous_index import ACCESS_KEY, Past, past
from rag.indexing.problem_lines import MOST_TOLD, told
from rag.indexing.selection import Select, Selection
from rag.indexing.units import Planned, UnitMaker, plan, write_units
from rag.ingest import Problem
from rag.ingest.formats import CONTENT_READER, FIGURES, is_content, parser_of
from rag.ingest.parsers import of_plugin
from retrievers.analysis.settings import AUTO, EACH
from retrievers.index.access import AccessTable
from retrievers.index.built import BuiltIndex, IndexWriter
from retrievers.index.contents import contents_of
from retrievers.index.documents import Documents
from retrievers.index.generations import Building
from retrievers.index.manifest import Manifest
from retrievers.index.own_statistics import require_apart
from retrievers.index.settings import IndexSettings
from retrievers.index.sources import Holding, SourceRecord, together, write_sources
from retrievers.index.writer import DocumentsWriter, first_duplicate
from retrievers.legs import LEGS, USUAL


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What a build did.

    `n_sources`: of all files. `losses`: what went that the index before had.

    `problems`: files that are not in the index, or not wholly, and why; `unread`: those of them that are not in it at
    all. `ignored`: files of kinds that nothing reads. `staying_out`: files that were removed from the index and lie there
    still. `n_reused_vectors`: units whose vector was taken from the index before. `n_encoded`: texts that went through the
    encoder; what a killed build had already encoded is in neither.
    `languages`: code -> documents, "" for those of none that is known; empty where nobody looked.
    `on_cluster`: leg -> texts of these that a cluster read; empty where none did.
    `n_represented`: texts that a chat model read. `counts`: these three and what other legs count, by leg; and of transforms that
    look at contents what these did, by `transform.NAME`. `seconds`: by part of the work. `peak_memory_bytes`: of this process since
    it started. `size_bytes`: of the files that were written.
    `n_parts`: in which the index lies. `chosen`: leg -> what it is, and why, where settings leave that to the build.
    `chosen_language`: in which words are analysed, where it was told by this build from the texts. `chosen_models`: leg -> the
    model that it took for the languages of the texts, and why, where that is not the usual one.
    `ids`: of documents that were handed over, in their order. `anew`: why a change wrote all of the index anew, if it did.
    `unchanged`: there was nothing to do or to write.
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
    on_cluster: Mapping[str, int] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unread: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    staying_out: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    size_bytes: int = 0
    n_parts: int = 1
    ids: tuple[str, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)
    chosen_language: str = ""
    chosen_models: Mapping[str, str] = field(default_factory=dict)
    anew: str = ""
    unchanged: bool = False


class UnchangedError(Exception):
    """Leaves the build without publishing."""

    def __init__(self, report: IndexReport) -> None:
        self.report = report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What reading the sources gave. `taken_from`: the index whose rows were taken over unread."""

    selection: Selection
    planned: Sequence[Planned]
    holdings: list[Holding]
    problems: tuple[Problem, ...]
    taken_from: BuiltIndex | None
    tells_languages: bool
    counts: Mapping[str, Mapping[str, int]]

    @property
    def records(self) -> list[SourceRecord]:
        """Of all sources, in row order."""
        return [record for holding in self.holdings for record in holding.records]


class Build:
    """One build, from discovery to the manifest. Publishing is the caller's.

    Args:
        settings, legs: as the index before has them, where they are None.
        labels: who may read the documents; None: as the index before was given it.
        prune: whatever the index before has and this build does not name may go.
        most_lost: share of the documents before that may go.
        encoders: where models read texts.
    """

    def __init__(
        self,
        select: Select,
        place: IndexWriter,
        *,
        settings: IndexSettings | None,
        legs: Sequence[str] | None,
        labels: Given | None = None,
        prune: bool,
        most_lost: float,
        encoders: Encoders | None = None,
        progress: Progress,
    ) -> None:
        self._select, self._place, self._labels = select, place, labels
        self._settings, self._legs = settings, legs
        self._prune, self._most_lost, self._progress = prune, most_lost, progress
        self._encoders, self._timings = encoders or Encoders(), Timings()

    def run(self, new: Building) -> IndexReport:
        """Write everything into the folder of `new`.

        Raises:
            UnchangedError: the current index is what this would write.
            TooMuchLost: it may not.
        """
        place = self._place
        with past(place.home, elsewhere=place.before, rebuild=self._prune, progress=self._progress) as before:
            settings = self._with_access(self._settings or before.settings or IndexSettings(), before)
            settings = as_before(settings, before.settings, before.legs)
            legs = settings.ordered(self._legs if self._legs is not None else before.legs or USUAL)
            legs, keeps = self._with_contents(settings, legs, before)
            before = replace(before, contents=keeps)
            if lost := [leg for leg in before.legs if leg not in legs and not self._prune]:
                raise IndexProblem(
                    f"index '{place.address}' has a {lost[0]} leg, which the graph does not search. Give the graph that it "
                    "was built for, or none; or --prune, to drop the leg"
                )
            place.require(settings, legs)
            require_apart(settings, legs, name=str(place.address))
            return self._run(new, before, settings, legs)

    def _run(
        self,
        new: Building,
        before: Past,
        asked: IndexSettings,
        legs: tuple[str, ...],
        *,
        language: str = "",
        told: Mapping[str, int] | None = None,
    ) -> IndexReport:
        """`language`: of the words, and `told`: languages of the texts, both by a first reading, if this is the second one."""
        settings = by_languages(asked, legs, self._expected(before, asked, legs) if told is None else told)
        made = Legs(settings, legs, self._timings, self._progress, encoders=self._encoders)
        reading = self._read(new, before, settings, made)
        documents = Documents(new.folder)
        seen = _languages(documents, reading.records, settings)
        if told is None:
            told = {} if settings.reading.own_statistics else seen or named_language(settings)
        read_as, settings = settings, by_languages(asked, legs, told)
        if settings.analyzer.language == AUTO and reads_words(settings, legs):
            language = self._language(settings, legs, seen)
            asked, settings = in_language(asked, language), in_language(settings, language)
        if settings != read_as:
            read_with, made = made, Legs(settings, legs, self._timings, self._progress, encoders=self._encoders)
            asks_each = language == EACH and not reading.tells_languages
            if asks_each or made.ruler.facts != read_with.ruler.facts:  # what was read is to be read in another way
                _empty(new.folder)
                return self._run(new, before, asked, legs, language=language, told=told)
        access, no_labels = self._access(documents, settings.reading.access, reading.taken_from)
        report = replace(
            self._as_read(before, reading, (*reading.problems, *no_labels), legs=legs),
            chosen_language=language,
            chosen_models=chosen_by_languages(asked, legs, told),
        )
        warn_of_language(settings, legs, seen)
        require_kept(report.losses, before.n_documents, most_lost=self._most_lost, name=str(self._place.address))
        return self._written(new, before, made, reading, report, access)

    def _read(self, new: Building, before: Past, settings: IndexSettings, made: Legs) -> _Reading:
        """Write what the sources give into the folder."""
        with self._timings.timed("read"):
            maker = UnitMaker(settings, made.ruler)
            selection = self._select(before, maker.may_copy)
            planned, problems = plan(selection, maker, before=before.records, progress=self._progress)
            taken_from = selection.index or before.index
            holdings, more_problems = self._write_documents(
                new, selection, planned, maker, taken_from, keeps=before.contents
            )
        reading = _Reading(
            selection=selection,
            planned=planned,
            holdings=holdings,
            problems=(*selection.problems, *problems, *more_problems),
            taken_from=taken_from,
            tells_languages=maker.tells_languages,
            counts=maker.counts,
        )
        _require_text(reading.problems, selection, holdings)
        return reading

    def _written(
        self,
        new: Building,
        before: Past,
        made: Legs,
        reading: _Reading,
        report: IndexReport,
        access: AccessTable | None,
    ) -> IndexReport:
        """Write the legs of what was read, unless the index before has all of it."""
        index, records = before.index, reading.records
        if (
            index
            and reading.holdings == list(before.holdings)
            and made.same_as(index)
            and made.chosen_alike(index.manifest.legs)
            and (access is None or access.same_as(access_of(index)))
        ):
            raise UnchangedError(finished(report, index.manifest, made, self._timings))
        _require_distinct(new.folder, Documents(new.folder), records)
        if access is not None:
            access.write(new.folder)
        written = made.write(
            new.folder,
            new.work,
            records,
            before=lambda leg, leg_maker: made.before(index, leg, leg_maker) if index else None,
        )
        report = counted(report, {**reading.counts, **written.counts})
        report = replace(report, on_cluster=dict(self._encoders.n_elsewhere))
        return finished(report, written.manifest, made, self._timings)

    def _as_read(
        self, before: Past, reading: _Reading, notices: tuple[Problem, ...], *, legs: tuple[str, ...]
    ) -> IndexReport:
        """The report as far as it is known once all files are read."""
        records = reading.records
        read = {record.name for record in records}
        unread = dict.fromkeys(problem.name for problem in notices if problem.lost and problem.name not in read)
        return IndexReport(
            path=self._place.address,
            legs=legs,
            n_sources=len(reading.holdings),
            n_files=len(records),
            n_documents=sum(record.n_documents for record in records),
            languages=languages_of(records),
            n_units=sum(record.n_units for record in records),
            n_reused_files=sum(each.before is not None for each in reading.planned),
            losses=losses_of(before.records, records),
            problems=notices,
            unread=tuple(unread),
            ignored=reading.selection.ignored,
            staying_out=reading.selection.staying_out,
        )

    def _with_access(self, settings: IndexSettings, before: Past) -> IndexSettings:
        """Settings under which an index whose documents carry labels stays one, whatever graph it is built for."""
        reading = settings.reading
        key = reading.access or before.access or (None if self._labels is None else ACCESS_KEY)
        own = reading.own_statistics or before.own_statistics
        if (key, own) == (reading.access, reading.own_statistics):
            return settings
        kept = reading.model_copy(update={"access": key, "own_statistics": own})
        return settings.model_copy(update={"reading": kept})

    def _with_contents(
        self, settings: IndexSettings, legs: tuple[str, ...], before: Past
    ) -> tuple[tuple[str, ...], bool]:
        """The legs, with those that are for kinds of content that the sources have, and whether contents are kept: where such a leg
        is asked for or was there, the index keeps some, or in a new index. An index of texts stays one."""
        kinds = {kind for leg in {*legs, *before.legs} for kind in settings.kind(leg).comes_with}
        if any(True for _ in contents_of(before.index)):
            kinds.update(kind for record in before.records for kind in record.kinds)
        if kinds or before.settings is None or settings.reading.figures:
            kinds |= self._kinds_found(before, figures=settings.reading.figures)
        if not kinds:
            return legs, False
        LEGS.take_in()
        return settings.ordered([*legs, *(leg for leg in LEGS.names() if settings.kind(leg).comes_with & kinds)]), True

    def _kinds_found(self, before: Past, *, figures: bool) -> frozenset[str]:
        """Kinds of content that files of the sources hold, of those that hold no text and are read here; with `figures` pictures
        in documents too."""
        if not shipped(CONTENT_READER):
            return frozenset()
        selection = self._select(replace(before, contents=True), lambda record, removed: True)
        files = (file for chosen in selection.chosen for file in chosen.files if file.layout == "file")
        parsers = {parser for file in files if (parser := parser_of(file.path.name))}
        inside = {"picture"} if figures and parsers & {*shipped(FIGURES)} else ()
        return frozenset(inside).union(*(of_plugin(parser).KINDS for parser in parsers if is_content(parser)))

    def _expected(self, before: Past, settings: IndexSettings, legs: Sequence[str]) -> Mapping[str, int]:
        """The languages that texts are likely in, before they are read, where anything depends on it."""
        if settings.reading.own_statistics or by_languages(settings, legs, {}) == settings:
            return {}
        if named := named_language(settings):
            return named
        selection = self._select(before, lambda record, removed: False)
        return languages_glimpsed([file.path for chosen in selection.chosen for file in chosen.files])

    def _language(self, settings: IndexSettings, legs: Sequence[str], seen: Mapping[str, int]) -> str:
        """What `analyzer.language: auto` comes to: `each` only where an index of these legs can be so in this place.

        Where somebody is scored by what they may read alone, all other documents must not show: not in the language either.
        """
        if settings.reading.own_statistics:
            return USUAL_LANGUAGE
        language = chosen_language(seen)
        if language == EACH:
            try:
                self._place.require(in_language(settings, EACH), legs)
            except RagError:
                return most_seen(seen)
        return language

    def _access(
        self, documents: Documents, key: str | None, previous: BuiltIndex | None
    ) -> tuple[AccessTable | None, list[Problem]]:
        """Who may read what, and which labels cannot be used; None where documents carry no labels."""
        if key is None:
            return None, []
        with self._timings.timed("labels"):
            return labelled(documents, key=key, given=self._labels or Given.before(previous))

    def _write_documents(
        self,
        new: Building,
        selection: Selection,
        planned: Sequence[Planned],
        maker: UnitMaker,
        previous: BuiltIndex | None,
        *,
        keeps: bool,
    ) -> tuple[list[Holding], list[Problem]]:
        """What the sources gave, and what could not be read."""
        with DocumentsWriter(new.folder) as writer:
            records, problems = write_units(
                planned,
                maker,
                writer,
                previous=previous.documents if previous else None,
                contents=contents_of(previous),
                keeps=keeps,
                progress=self._progress,
            )
        holdings = []
        for number, chosen in enumerate(selection.chosen):
            mine = [record for each, record in zip(planned, records, strict=True) if record and each.source == number]
            if chosen.source.given and mine:
                mine = [together(mine)]
            source = chosen.source.model_copy(update={"n_files": len(mine)})
            holdings.append(Holding(source, tuple(mine)))
        write_sources(new.folder, holdings)
        return holdings, problems


def _languages(documents: Documents, records: Sequence[SourceRecord], settings: IndexSettings) -> Mapping[str, int]:
    """Language -> documents where each was asked for its own, and else texts that were looked at."""
    if asked := {code: n for code, n in languages_of(records).items() if code}:
        return asked
    firsts = [record.first_row for record in records if record.n_units]
    own = settings.analyzer.language
    return languages_seen(documents.index_texts, firsts, expected=USUAL_LANGUAGE if own in (AUTO, EACH) else own)


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def finished(report: IndexReport, manifest: Manifest, legs: Legs, timings: Timings) -> IndexReport:
    """The report with what is known in the end."""
    unit = 1 if sys.platform == "darwin" else 1024
    return replace(
        report,
        seconds=dict(timings.seconds),
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        size_bytes=sum(fact.size_bytes for fact in manifest.files.values()),
        n_parts=max(1, len(manifest.parts)),
        chosen=legs.chosen(manifest.legs),
    )


def _require_text(problems: Sequence[Problem], selection: Selection, holdings: Sequence[Holding]) -> None:
    """Refuse an index without text, and sources that add none to one."""
    named = [holding for chosen, holding in zip(selection.chosen, holdings, strict=True) if chosen.named]
    if any(record.n_units for holding in named or holdings for record in holding.records):
        return
    where = ", ".join(f"'{holding.source.root}'" for holding in named) or "no sources"
    lines = islice(told(problems), MOST_TOLD)
    raise SpecError(f"nothing to index in {where}: no text in any of its files", *(f"  {line}" for line in lines))


def counted(report: IndexReport, counts: Mapping[str, Mapping[str, int]]) -> IndexReport:
    """The report with what the legs count."""

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
