"""Documents that are handed over in Python -> lines of a corpus, which are read as those of any other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rag.core.contents import content_json
from rag.core.digests import text_sha256
from rag.core.errors import SpecError
from rag.core.types import Document
from rag.ingest import printable
from rag.ingest.clean import Cleaner
from rag.ingest.records import IDS

CORPUS = "given.jsonl"


@runtime_checkable
class NamedRows(Protocol):
    """A table such as polars has."""

    def iter_rows(self, *, named: bool) -> Iterable[Mapping[str, Any]]: ...


@runtime_checkable
class RecordsOf(Protocol):
    """A table such as pandas has."""

    def to_dict(self, orient: str) -> Iterable[Mapping[str, Any]]: ...


Given = Iterable[Document | str | Mapping[str, Any]] | Document | str | Mapping[str, Any] | NamedRows | RecordsOf
"""Documents, texts, or records with the fields of a corpus (id, title, text; all others are metadata); a table of such
records; or one of them. A text, and a record without an id, is named by its content."""


@dataclass(frozen=True, slots=True)
class Named:
    """A document as it was given: its number, from 1, and its id. `own`: it came with that id."""

    place: int
    doc_id: str
    own: bool


Settle = Callable[[Named, dict[str, Any]], tuple[str, dict[str, Any]]]
"""A document and its fields beside the id -> the id and the fields that are written."""


def write_given(documents: Given, file: Path, settle: Settle | None = None) -> list[str]:
    """Write them, one a line, as they come. Gives the ids that they will have.

    Args:
        settle: says what is written of each; None for what was given.
    Raises:
        SpecError: one is none of what may be given, is no JSON, or comes twice; or there is none.
    """
    clean, places = Cleaner(), dict[str, int]()
    with file.open("w", encoding="utf-8") as stream:
        for place, each in enumerate(_listed(documents), start=1):
            record = _record(each, place)
            own = _id_in(record, clean)
            doc_id, rest = own or _id_by_content(record), {n: value for n, value in record.items() if n not in IDS}
            if settle is not None:
                doc_id, rest = settle(Named(place, doc_id, bool(own)), rest)
            if doc_id in places:
                raise SpecError(
                    f"document {place}: its id {printable(doc_id)!r} is that of document {places[doc_id]}. Ids must be "
                    "distinct: give each once"
                )
            places[doc_id] = place
            try:
                stream.write(json.dumps({"_id": doc_id, **rest}, default=_plain) + "\n")
            except (TypeError, ValueError, RecursionError) as cause:
                raise SpecError(
                    f"document {place} ({printable(doc_id)!r}) cannot be written as JSON: {cause}"
                ) from None
    if not places:
        raise SpecError("no documents were given")
    return list(places)


def _listed(documents: Given) -> Iterator[Any]:
    if isinstance(documents, str | Document | Mapping):
        return iter([documents])
    if isinstance(documents, NamedRows):
        return map(_without_gaps, documents.iter_rows(named=True))
    if isinstance(documents, RecordsOf):
        return map(_without_gaps, documents.to_dict("records"))
    if isinstance(documents, Iterable):
        return iter(documents)
    raise SpecError(_wanted(f"got {type(documents).__name__}"))


def _record(given: Any, place: int) -> dict[str, Any]:
    if isinstance(given, str):
        return {"text": given}
    if isinstance(given, Mapping):
        return {str(name): value for name, value in given.items()}
    if isinstance(given, Document):
        beside = {"contents": [content_json(each) for each in given.contents]} if given.contents else {}
        named = {"_id": given.doc_id, "title": given.title, "text": given.text}
        return {**{name: value for name, value in given.metadata.items() if name not in IDS}, **named, **beside}
    raise SpecError(_wanted(f"document {place} is {type(given).__name__}"))


def _id_in(record: Mapping[str, Any], clean: Cleaner) -> str:
    """The id that reading the record gives, so that it can be looked up before; empty where it has none."""
    own = next((record[name] for name in IDS if name in record and record[name] is not None), "")
    return clean(str(own)).replace("\n", " ").replace("\t", " ")


def _id_by_content(record: Mapping[str, Any]) -> str:
    return "text-" + text_sha256(json.dumps(record, sort_keys=True, default=_plain))[:16]


def _without_gaps(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table without the cells that hold nothing: None, or a number that is none."""
    return {name: value for name, value in row.items() if value is not None and value == value}


def _plain(value: Any) -> Any:
    """Numbers of arrays and tables as numbers; what else JSON does not know, as text."""
    import numpy as np

    return value.item() if isinstance(value, np.generic) else str(value)


def _wanted(got: str) -> str:
    return (
        f"{got}; documents are given as Document, as a text, as a record such as {{'id': 'a', 'text': '...'}}, or as a "
        "table of such records"
    )
