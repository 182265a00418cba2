"""Source files -> units of retrieval, in an index. What the index before read the same way is copied."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.core.contents import kinds_of
from rag.core.digests import file_sha256
from rag.core.errors import ContractError, IngestError
from rag.core.progress import Progress
from rag.core.protocols import CanDescribe, Transform
from rag.core.types import Document
from rag.graph.transforms import make_transform
from rag.ingest import INGEST_VERSION, Problem, Reader, Ruler, SourceFile, chunk
from rag.ingest.formats import VERSIONS, parser_of
from retrievers.index.documents import Documents
from retrievers.index.manifest import ragline_version
from retrievers.index.settings import IndexSettings
from retrievers.index.sources import SourceRecord
from retrievers.index.writer import DocumentsWriter

log = logging.getLogger(__name__)

_BATCH = 512
_UNITS_VERSION = 1
"""Raised when the same file and settings give other units than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A file to index. `before`: its rows in the index before, if the same bytes were read the same way."""

    file: SourceFile
    sha256: str
    made_by: str
    before: SourceRecord | None


class UnitMaker:
    """Reads, cuts and transforms one file after the other.

    Args:
        ruler: what `spans` measures, as the manifest records it.
    """

    def __init__(self, settings: IndexSettings, *, spans: Ruler, ruler: Mapping[str, Any]) -> None:
        self._settings, self._spans, self._ruler = settings, spans, ruler
        models: dict[str, Any] = {}
        self._transforms: list[Transform] = [make_transform(each, models) for each in settings.transforms]
        self._described: list[Any] | None = None

    @property
    def cuts_corpora(self) -> bool:
        """Whether the documents of corpora are cut too."""
        return self._settings.chunking.corpora

    def made_by(self, file: SourceFile) -> str:
        """A hash of all that the units depend on, except the bytes of the file."""
        cut = file.layout == "file" or self.cuts_corpora
        makers: dict[str, Any] = {
            "ragline": [ragline_version(), _UNITS_VERSION, INGEST_VERSION],
            "layout": file.layout,
            "chunking": self._settings.chunking.model_dump(exclude={"corpora"}) if cut else None,
            "ruler": dict(self._ruler) if cut else None,
            "transforms": [each.model_dump() for each in self._settings.transforms],
        }
        if cut and (version := VERSIONS.get(parser_of(file.name) or "")):
            makers["parser"] = version
        if described := self._descriptions():
            makers["models"] = described
        return hashlib.sha256(json.dumps(makers, sort_keys=True).encode()).hexdigest()

    def _descriptions(self) -> list[Any]:
        """What transforms say that their texts depend on, beside documents and parameters: prompts and weights."""
        if self._described is None:
            self._described = [each.describe() for each in self._transforms if isinstance(each, CanDescribe)]
        return self._described

    def units(self, file: SourceFile, reader: Reader) -> Iterator[tuple[int, list[Document]]]:
        """(documents read, their units), batch by batch.

        Raises:
            IngestError: the file cannot be read, or no further.
        """
        n, units = 0, list[Document]()
        for begins, document_units in self._cut(file, reader):
            n += begins
            units += document_units
            if len(units) >= _BATCH:
                yield n, self._transformed(units)
                n, units = 0, []
        if n or units:
            yield n, self._transformed(units)

    def _cut(self, file: SourceFile, reader: Reader) -> Iterator[tuple[bool, list[Document]]]:
        """Units, stretch by stretch, and whether a document begins with them."""
        number = line = 1
        try:
            for stretch in reader.stream(file):
                if not stretch.offset:
                    number = line = 1
                units = chunk(stretch, settings=self._settings.chunking, spans=self._spans, number=number, line=line)
                yield not stretch.offset, units
                number, line = number + len(units), line + stretch.text.count("\n")
        except IngestError:
            raise
        except Exception as cause:  # a parser's bug must not cost the user the other files
            log.debug("reading %s", file.path, exc_info=True)
            raise IngestError(f"cannot be read: {type(cause).__name__}: {cause}") from cause

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
    files: Sequence[SourceFile], maker: UnitMaker, *, before: Sequence[SourceRecord], progress: Progress
) -> tuple[list[Planned], list[Problem]]:
    """Which files to read and which to copy, and files that are not readable at all."""
    known = {(record.name, record.sha256, record.made_by): record for record in before}
    planned, problems = list[Planned](), list[Problem]()
    for done, file in enumerate(files, start=1):
        try:
            # The digest is taken before the file is read: if it changes in between, the next build sees
            # another digest and reads it again.
            sha256, made_by = file_sha256(file.path), maker.made_by(file)
        except OSError as cause:
            problems.append(Problem(name=file.name, reason=f"cannot be read: {cause.strerror}"))
            continue
        record = known.get((file.name, sha256, made_by))
        planned.append(Planned(file=file, sha256=sha256, made_by=made_by, before=record))
        progress("compare", done, len(files))
    return planned, problems


def write_units(
    planned: Sequence[Planned],
    maker: UnitMaker,
    writer: DocumentsWriter,
    *,
    previous: Documents | None,
    progress: Progress,
) -> tuple[list[SourceRecord], list[Problem]]:
    """Write the units of all files, in order. A file that cannot be read to its end is left out whole."""
    records, problems, complaints = list[SourceRecord](), list[Problem](), list[Problem]()
    with Reader(report=complaints.append, cuts_corpora=maker.cuts_corpora) as reader:
        for done, each in enumerate(planned, start=1):
            complaints.clear()
            if each.before is not None and previous is not None:
                records.append(_copy(each.before, writer, previous))
                problems += _problems_of(each.before)
            else:
                record = _read(each, maker, reader, writer, complaints)
                records += [record] if record else []
                problems += complaints
            progress("read", done, len(planned))
    return records, problems


def _copy(before: SourceRecord, writer: DocumentsWriter, previous: Documents) -> SourceRecord:
    first_row = len(writer)
    for row in range(before.first_row, before.first_row + before.n_units):
        writer.copy(previous[row].doc_id, previous.line(row))
    return before.model_copy(update={"first_row": first_row})


def _read(
    each: Planned, maker: UnitMaker, reader: Reader, writer: DocumentsWriter, complaints: list[Problem]
) -> SourceRecord | None:
    """Write one file's units. One that cannot be read goes to `complaints`, and nothing of it into the index."""
    first_row, n_documents, name = len(writer), 0, each.file.name
    kinds: set[str] = set()
    try:
        for n, units in maker.units(each.file, reader):
            n_documents += n
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
        n_documents=n_documents,
        problems=tuple((problem.reason, problem.lost) for problem in complaints),
        kinds=tuple(sorted(kinds)),
    )


def _problems_of(record: SourceRecord) -> list[Problem]:
    """The problems that were noted when the file was read."""
    return [Problem(name=record.name, reason=reason, lost=lost) for reason, lost in record.problems]
