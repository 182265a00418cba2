"""One record -> one document: which of a record's fields is its id, its title and its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rag.core.contents import Content, read_content
from rag.ingest.clean import Cleaner
from rag.ingest.layout import LINE, Layout, fields, title_of
from rag.ingest.pieces import CJK
from rag.ingest.types import Block, DistinctNames, Note, ParsedDocument, ReadError, own_fields

IDS = ("_id", "id", "docid", "doc_id", "docno")
TITLES = ("title", "name", "heading")
TEXTS = ("text", "contents", "content", "body")
ROWS_READ = 1_000
"""Rows of short cells of one file that models read one by one."""
MANY_ROWS = f"of rows of short cells models read the first {ROWS_READ:,} of a file; all are found by words and fields"
"""The same words for every file, so that reports tell it in one line."""
_PROSE = 8
"""Words from which on a cell is a sentence; of letters that no blanks part, two are a word."""
_UNSPACED = re.compile(f"[{CJK}]")
_QUOTED_TITLE = re.compile(r'"([^"\n]{1,300})"\n(?=\S)')


def corpus_document(record: Mapping[str, Any], *, source: str, clean: Cleaner) -> ParsedDocument | None:
    """A unit of a corpus; fields beside id, title and text become metadata. None if there is nothing to
    index.

    A field `contents` that is a list of objects holds what stands beside the text: kind, uri, sha256 and what else a
    `Content` has, with `offset`, its place in the text, 0 where there is none.

    Without a title, a quoted first line of `contents` is one: FlashRAG writes corpora so. The id is kept as
    it is but for line breaks and tabs; empty where the record has none.
    """
    rest = dict(record)
    contents = _contents(rest)
    doc_id = clean(_text(_take(rest, IDS))).replace("\n", " ").replace("\t", " ")
    title = clean.line(_text(_take(rest, ("title",))))
    text = clean(_text(_take(rest, TEXTS))).strip()
    if not title and (match := _QUOTED_TITLE.match(text)):
        title, text = match[1], text[match.end() :]
    if not title and not text and not contents:
        return None
    blocks = (Block(start=0, end=len(text)),) if text else ()
    metadata = {**own_fields(rest), "source": source}
    return ParsedDocument(
        doc_id=doc_id, title=title, text=text, blocks=blocks, metadata=metadata, whole=True, contents=contents
    )


def file_document(record: Mapping[str, Any], *, name: str, position: int, clean: Cleaner) -> ParsedDocument | None:
    """A row of a table or a JSONL line, named `file:id` or `file:position`. None if there is nothing to
    index.

    With a text field that is the text; without one every field is a line, `column: value`. Plain fields are
    metadata.
    """
    rest = {str(key).strip(): value for key, value in record.items() if value is not None and value != ""}
    layout = Layout(clean)
    title = clean.line(_first(rest, TITLES))
    text = _first(rest, TEXTS)
    if text:
        layout.block(text)
    else:
        layout.block(fields([(key, _text(value)) for key, value in rest.items()], "\n"), lines=True)
        title = f"{title_of(name)} › {title}" if title else title_of(name)
    doc_id = f"{name}:{clean.line(_first(rest, IDS))[:LINE] or position}"
    plain = {key: value for key, value in rest.items() if isinstance(value, str | int | float) and key not in TEXTS}
    document = layout.document(name, title=title, doc_id=doc_id, metadata=own_fields(plain))
    return document if document.text else None


class LongTable:
    """Rows of one file: behind the first thousand of short cells, models read what all of them have in common.

    Such a row is found by its words and its fields, and a model takes long to read many. A row with a text or a sentence in
    it is read for itself, wherever it stands.
    """

    def __init__(self, name: str) -> None:
        self._title, self._rows = title_of(name), 0

    def row(self, document: ParsedDocument, record: Mapping[str, Any]) -> ParsedDocument:
        """The document of the next row, with what models read of it."""
        if _first(record, TEXTS) or any(_is_prose(value) for value in record.values()):
            return document
        self._rows += 1
        if self._rows <= ROWS_READ:
            return document
        common = f"{self._title}: {', '.join(map(str, record))}"[:LINE]
        return replace(document, metadata={**document.metadata, "model_text": common})

    def tell(self, note: Note) -> None:
        """Say how many share what is read, if any."""
        if self._rows > ROWS_READ:
            note(MANY_ROWS)


class DistinctIds:
    """A doc_id that was seen before gets ~2, ~3, ...; the note says how often that happened."""

    def __init__(self) -> None:
        self._names, self._again, self._first = DistinctNames(), 0, ""

    def distinct(self, document: ParsedDocument) -> ParsedDocument:
        """The document, under an id of its own."""
        doc_id = self._names(document.doc_id)
        if doc_id == document.doc_id:
            return document
        self._first = self._first or document.doc_id
        self._again += 1
        return replace(document, doc_id=doc_id)

    def tell(self, note: Note) -> None:
        """Say how often, if ever."""
        if self._again:
            note(f"{self._again} ids appear again and were given a number; first: {self._first!r}")


def _is_prose(value: Any) -> bool:
    text = _text(value)
    return len(text.split(maxsplit=_PROSE)) + len(_UNSPACED.findall(text[:LINE])) // 2 >= _PROSE


def _contents(record: dict[str, Any]) -> tuple[tuple[int, Content], ...]:
    """Taken out of the record; none where the field holds something else.

    Raises:
        ReadError: an object of the list is no content.
    """
    listed = record.get("contents")
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        return ()
    del record["contents"]
    placed: list[tuple[int, Content]] = []
    for each in listed:
        offset = each.get("offset", 0)
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise ReadError(f"contents: offset must be a whole number of at least 0, got {str(offset)[:80]!r}")
        try:
            placed.append((offset, read_content({name: value for name, value in each.items() if name != "offset"})))
        except ValueError as cause:
            raise ReadError(f"contents: {cause}") from None
    return tuple(sorted(placed, key=lambda pair: pair[0]))


def _take(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((record.pop(name) for name in names if name in record), "")


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The field that is the first of `names` that the record has, in any case."""
    lower = {key.lower(): value for key, value in record.items()}
    return next((_text(lower[name]) for name in names if name in lower), "")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return "" if value is None else str(value)
