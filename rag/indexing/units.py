"""Source files -> units of retrieval, in an index. What the index before read the same way is copied."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag.core.contents import Content, kinds_of
from rag.core.digests import file_sha256, text_sha256
from rag.core.errors import ContractError, IngestError, RagError, SpecError
from rag.core.plugins import shipped
from rag.core.progress import Progress
from rag.core.protocols import CanDescribe, LooksAtContents, Transform
from rag.core.types import Document
from rag.graph.transforms import make_transform
from rag.indexing.selection import Selection
from rag.ingest import INGEST_VERSION, LAYOUTS, Layout, Problem, Reader, SourceFile, chunk
from rag.ingest.formats import FIGURES, is_content, parser_of, version_of
from rag.ingest.language import LanguageReader, code_of
from rag.ingest.ocr import OCR_VERSION, require_ocr
from rag.ingest.parsers import of_plugin
from rag.ingest.records import MANY_ROWS
from rag.ingest.types import ParsedDocument
from retrievers.index.contents import NONE
from retrievers.index.documents import StoredDocuments
from retrievers.index.manifest import ragline_version
from retrievers.index.settings import IndexSettings
from retrievers.index.sources import Source, SourceRecord, digested
from retrievers.index.writer import DocumentsWriter
from retrievers.index_protocol import ContentStore
from retrievers.legs.protocol import LegRuler

log = logging.getLogger(__name__)

_BATCH = 512
_UNITS_VERSION = 1
"""Raised when the same file and settings give other units than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A file to index. `file`: None for rows that are taken over without reading. `source`: the number of its source.

    `before`: its rows in the index before, if the same bytes were read the same way. `removed`: documents that stay out,
    of a file that is read digests of their ids, of rows that are taken over their ids.
    """

    name: str
    source: int
    file: SourceFile | None = None
    sha256: str = ""
    made_by: str = ""
    before: SourceRecord | None = None
    removed: tuple[str, ...] = ()


class UnitMaker:
    """Reads, cuts and transforms one file after the other.

    Args:
        ruler: what chunks are measured in.
    Raises:
        MissingDependency: pages are to be read as pictures, without what does that.
        SpecError: chunks are to be cut by meaning, without an encoder; or a transform is not usable.
    """

    def __init__(self, settings: IndexSettings, ruler: LegRuler) -> None:
        if settings.reading.ocr:
            require_ocr("reading pictures of pages (ocr)")
        if settings.chunking.cut == "meaning" and ruler.encode is None:
            raise SpecError(
                "index.chunking.cut: meaning needs a dense leg whose encoder runs in this process. Build the index for a "
                "graph that searches one, such as hybrid, or leave cut out"
            )
        self._settings, self._ruler = settings, ruler
        self._languages = LanguageReader() if settings.reading.languages else None
        models: dict[str, Any] = {}
        self._transforms: list[Transform] = [make_transform(each, models) for each in settings.transforms]
        self._described: list[Any] | None = None
        self._made_by: dict[tuple[int | str, bool, str, Layout, tuple[str, ...]], str] = {}

    @property
    def cuts_corpora(self) -> bool:
        """Whether all documents of corpora are cut too, and not the long ones alone."""
        return self._settings.chunking.corpora is True

    @property
    def ocr(self) -> bool:
        """Whether pages that are pictures are read."""
        return self._settings.reading.ocr

    @property
    def figures(self) -> bool:
        """Whether pictures that stand in documents are kept."""
        return self._settings.reading.figures

    @property
    def tells_languages(self) -> bool:
        """Whether documents are counted by language."""
        return self._languages is not None

    @property
    def counts(self) -> dict[str, Mapping[str, int]]:
        """What transforms count of their work, by their names."""
        made = zip(self._settings.transforms, self._transforms, strict=True)
        return {f"transform.{of.use}": each.counts for of, each in made if isinstance(each, LooksAtContents)}

    def look(self, read: Callable[[str], bytes], before: Callable[[str], Sequence[Content]]) -> None:
        """Tell transforms that look at contents where these are."""
        for each in self._transforms:
            if isinstance(each, LooksAtContents):
                each.look(read, before)

    def may_copy(self, record: SourceRecord, removed: tuple[str, ...]) -> bool:
        """Whether the rows of a record are what its bytes would give now, without the documents `removed`."""
        return any(record.made_by == self.made_by(record.name, layout, removed) for layout in LAYOUTS)

    def made_by(self, name: str, layout: Layout, removed: tuple[str, ...] = ()) -> str:
        """A hash of all that the units of the file `name` depend on, except its bytes. Of the name its parser counts."""
        parser = "mail" if layout == "mail" else parser_of(name)  # of a corpus too, as indexes have it
        key = version_of(parser or ""), self.ocr and _has_pictures(parser), self._figures(parser), layout, removed
        if key not in self._made_by:
            self._made_by[key] = self._hash(*key)
        return self._made_by[key]

    def _figures(self, parser: str | None) -> str:
        """What reads pictures in files of a parser; empty where nobody does."""
        reader = shipped(FIGURES).get(parser or "") if self.figures else None
        return f"{reader.package} {reader.version}" if reader else ""

    def _hash(self, version: int | str, ocr: bool, figures: str, layout: Layout, removed: tuple[str, ...]) -> str:
        corpora = self._settings.chunking.corpora
        cut = layout != "corpus" or corpora is not False
        makers: dict[str, Any] = {
            "ragline": [ragline_version(), _UNITS_VERSION, INGEST_VERSION],
            "layout": layout,
            "chunking": self._settings.chunking.model_dump(exclude={"corpora"}) if cut else None,
            "ruler": dict(self._ruler.facts) if cut else None,
            "transforms": [each.model_dump() for each in self._settings.transforms],
        }
        if layout == "corpus" and corpora == "long":
            makers["corpora"] = corpora
        if cut and version != 1:
            makers["parser"] = version
        if ocr:
            makers["ocr"] = OCR_VERSION
        if figures:
            makers["figures"] = [figures, self.ocr]
        if self._languages:
            makers["languages"] = self._languages.describe()
        if described := self._descriptions():
            makers["models"] = described
        if removed:
            makers["removed"] = removed
        return hashlib.sha256(json.dumps(makers, sort_keys=True).encode()).hexdigest()

    def _descriptions(self) -> list[Any]:
        """What transforms say that their texts depend on, beside documents and parameters: prompts and weights."""
        if self._described is None:
            self._described = [each.describe() for each in self._transforms if isinstance(each, CanDescribe)]
        return self._described

    def units(
        self, file: SourceFile, reader: Reader, removed: tuple[str, ...] = ()
    ) -> Iterator[tuple[Counter[str], list[Document]]]:
        """(documents by language, their units), batch by batch, without the documents `removed`, digests of ids.

        Without `reading.languages` all documents are of the language "".

        Raises:
            IngestError: the file cannot be read, or no further.
        """
        read, units = Counter[str](), list[Document]()
        for language, document_units in self._cut(file, reader, frozenset(removed)):
            if language is not None:
                read[language] += 1
            units += document_units
            if len(units) >= _BATCH:
                yield read, self._transformed(units)
                read, units = Counter(), []
        if read or units:
            yield read, self._transformed(units)

    def _cut(
        self, file: SourceFile, reader: Reader, removed: frozenset[str]
    ) -> Iterator[tuple[str | None, list[Document]]]:
        """Units, stretch by stretch, and where a document begins with them, its language."""
        number = line = 1
        told: dict[str, Any] = {}
        try:
            for stretch in reader.stream(file):
                if removed and digested(stretch.doc_id) in removed:
                    continue
                if not stretch.offset:
                    number = line = 1
                    told = self._told(stretch)
                if told:
                    stretch = replace(stretch, metadata={**stretch.metadata, **told})
                units = chunk(
                    stretch,
                    settings=self._settings.chunking,
                    spans=self._ruler.spans,
                    encode=self._ruler.encode,
                    number=number,
                    line=line,
                )
                yield self._language(stretch.metadata) if not stretch.offset else None, units
                number, line = number + len(units), line + stretch.text.count("\n")
        except RagError:  # its own file's, or an encoder's, which is no fault of a file
            raise
        except Exception as cause:  # a parser's bug must not cost the user the other files
            log.debug("reading %s", file.path, exc_info=True)
            raise IngestError(f"cannot be read: {type(cause).__name__}: {cause}") from cause

    def _told(self, document: ParsedDocument) -> dict[str, str]:
        """What the metadata of a document gains by being looked at."""
        return self._languages.told(document) if self._languages else {}

    def _language(self, metadata: Mapping[str, Any]) -> str:
        return code_of(metadata) if self._languages else ""

    def _transformed(self, units: list[Document]) -> list[Document]:
        for use, transform in zip(self._settings.transforms, self._transforms, strict=True):
            before, units = units, transform.transform(units)
            if [unit.doc_id for unit in units] != [unit.doc_id for unit in before]:
                raise ContractError(
                    f"transform.{use.use} was given {len(before)} documents and returned {len(units)}, or "
                    "others; a transform gives one for one, in order, with the same doc_id"
                )
        return units


def plan(
    selection: Selection, maker: UnitMaker, *, before: Sequence[SourceRecord], progress: Progress
) -> tuple[list[Planned], list[Problem]]:
    """Which files to read and which to copy, in the order of their rows, and files that cannot be looked at."""
    known = {record.name: record for record in before}
    total = sum(len(chosen.files) for chosen in selection.chosen)
    planned, problems, done = list[Planned](), list[Problem](), 0
    for number, chosen in enumerate(selection.chosen):
        mine = [_taken_over(record, number, chosen.source, selection.without, maker) for record in chosen.kept]
        for file in chosen.files:
            removed = chosen.source.ids_left_out(file.name)
            record, made_by = known.get(file.name), maker.made_by(file.name, file.layout, removed)
            done += 1
            progress("compare", done, total)
            try:
                # The digest is taken before the file is read: if it changes in between, the next build sees
                # another digest and reads it again.
                sha256 = file_sha256(file.path)
                if file.caption is not None:
                    sha256 = text_sha256(f"{sha256} {file_sha256(file.caption)}")
            except OSError as cause:
                reason, kept = (
                    f"cannot be read: {cause.strerror}",
                    record is not None and maker.may_copy(record, removed),
                )
                if kept:
                    reason += "; what the index has of it stays as it is"
                    mine.append(Planned(name=file.name, source=number, before=record))
                problems.append(Problem(name=file.name, reason=reason, lost=not kept))
                continue
            same = record if record is not None and (record.sha256, record.made_by) == (sha256, made_by) else None
            mine.append(
                Planned(
                    name=file.name,
                    source=number,
                    file=file,
                    sha256=sha256,
                    made_by=made_by,
                    before=same,
                    removed=removed,
                )
            )
        planned += sorted(mine, key=lambda each: each.name)
    return planned, problems


def _taken_over(
    record: SourceRecord, number: int, source: Source, without: Mapping[str, tuple[str, ...]], maker: UnitMaker
) -> Planned:
    """A record whose file is not read. One that loses documents says so in what made it, unless it is out of date anyhow."""
    ids = without.get(record.name, ())
    made_by = made_without(record, ids, source, maker)
    return Planned(name=record.name, source=number, made_by=made_by, before=record, removed=ids)


def made_without(record: SourceRecord, ids: Collection[str], source: Source, maker: UnitMaker) -> str:
    """What makes the units of a record that loses the documents `ids`, which its source already says.

    What was handed over is never made again, and says nothing of it.
    """
    if not ids or source.given:
        return record.made_by
    removed = source.ids_left_out(record.name)
    former = tuple(sorted(set(removed) - set(map(digested, ids))))
    same = [layout for layout in LAYOUTS if maker.made_by(record.name, layout, former) == record.made_by]
    return maker.made_by(record.name, same[0], removed) if same else record.made_by


def write_units(
    planned: Sequence[Planned],
    maker: UnitMaker,
    writer: DocumentsWriter,
    *,
    previous: StoredDocuments | None,
    contents: ContentStore = NONE,
    keeps: bool = False,
    progress: Progress,
) -> tuple[list[SourceRecord | None], list[Problem]]:
    """Write the units of all files, in order. A file that cannot be read to its end is left out whole: None.

    Args:
        previous, contents: documents, and what they hold beside text, of which rows are copied.
        keeps: whether bytes of contents are kept.
    """
    records, problems, complaints = list[SourceRecord | None](), list[Problem](), list[Problem]()

    def before(sha256: str) -> list[Content]:
        held = [each for row in contents.rows(sha256) if previous is not None for each in previous[row].contents]
        return [each for each in held if each.sha256 == sha256]

    maker.look(writer.read, before)
    with Reader(
        report=complaints.append,
        cuts_corpora=maker.cuts_corpora,
        ocr=maker.ocr,
        figures=maker.figures,
        keep=writer.keep if keeps else None,
    ) as reader:
        for done, each in enumerate(planned, start=1):
            complaints.clear()
            if each.before is not None and previous is not None:
                records.append(_copy(each, each.before, writer, previous, contents))
                problems += _problems_of(each.before)
            elif each.file is not None:
                records.append(_read(each, each.file, maker, reader, writer, complaints))
                problems += complaints
            progress("read", done, len(planned))
    return records, problems


def _copy(
    each: Planned, before: SourceRecord, writer: DocumentsWriter, previous: StoredDocuments, contents: ContentStore
) -> SourceRecord | None:
    """Rows as they are, but for documents that go; None where none is left."""
    first_row = len(writer)
    goes = frozenset(each.removed) if each.file is None else frozenset[str]()
    gone: dict[str, str] = {}
    for row in range(before.first_row, before.first_row + before.n_units):
        document = previous[row]
        if document.parent not in goes:
            writer.copy(document.doc_id, previous.line(row), contents)
        else:
            gone[document.parent] = code_of(document.metadata)
    if len(writer) == first_row:
        return None
    return replace(
        before,
        first_row=first_row,
        n_units=len(writer) - first_row,
        n_documents=before.n_documents - len(goes),
        languages=tuple((Counter(dict(before.languages)) - Counter(gone.values())).items()),
        made_by=each.made_by or before.made_by,
    )


def _read(
    each: Planned,
    file: SourceFile,
    maker: UnitMaker,
    reader: Reader,
    writer: DocumentsWriter,
    complaints: list[Problem],
) -> SourceRecord | None:
    """Write one file's units. One that cannot be read goes to `complaints`, and nothing of it into the index."""
    first_row, read, name = len(writer), Counter[str](), each.name
    kinds: set[str] = set()
    try:
        for now, units in maker.units(file, reader, each.removed):
            read += now
            for unit in units:
                writer.add(unit)
                kinds |= kinds_of(unit.contents)
    except IngestError as cause:
        writer.cut(first_row)
        complaints.append(Problem(name=name, reason=str(cause).removeprefix(f"{name}: ")))
        return None
    return SourceRecord(
        name=name,
        sha256=each.sha256,
        made_by=each.made_by,
        first_row=first_row,
        n_units=len(writer) - first_row,
        n_documents=read.total(),
        languages=tuple(sorted(read.items())) if maker.tells_languages else (),
        problems=tuple((problem.reason, problem.lost) for problem in complaints),
        kinds=tuple(sorted(kinds)),
    )


def _problems_of(record: SourceRecord) -> list[Problem]:
    """The problems that were noted when the file was read, but for what is no trouble and was told then."""
    told = [(reason, lost) for reason, lost in record.problems if reason != MANY_ROWS]
    return [Problem(name=record.name, reason=reason, lost=lost) for reason, lost in told]


def _has_pictures(parser: str | None) -> bool:
    """Whether files that it reads hold what OCR may read."""
    return parser == "pdf" or (is_content(parser) and "picture" in of_plugin(parser or "").KINDS)
