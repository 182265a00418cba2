"""What a file says of its documents, kept to a size that can stand beside every hit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rag.ingest.types import RESERVED, Note, ParsedDocument

VALUE_BYTES = 4_096
DOCUMENT_BYTES = 65_536
FIELDS = 512
"""Of one document: a dictionary of them is made for each of its chunks."""


def capped(documents: Iterable[ParsedDocument], note: Note) -> Iterator[ParsedDocument]:
    """The documents, with metadata of at most 4 KiB a value, 64 KiB and 512 fields a document, as UTF-8 JSON.

    A longer text is cut. Another longer value, and what is beyond the document's bounds, is left out. The note says
    how many, and which was the first.
    """
    cut, left_out = list[str](), list[str]()
    n_cut = n_left_out = 0
    for document in documents:
        kept, now_cut, now_left_out = _kept(document.metadata)
        n_cut, n_left_out = n_cut + len(now_cut), n_left_out + len(now_left_out)
        cut += [f"{key[:80]!r} of {document.doc_id}" for key in now_cut[: 1 - len(cut)]]
        left_out += [f"{key[:80]!r} of {document.doc_id}" for key in now_left_out[: 1 - len(left_out)]]
        yield replace(document, metadata=kept) if now_cut or now_left_out else document
    if n_cut:
        note(f"{n_cut} metadata values cut after {VALUE_BYTES:,} bytes; first: {cut[0]}", lost=True)
    if n_left_out:
        note(
            f"{n_left_out} metadata values left out: more than {VALUE_BYTES:,} bytes and not text, or above "
            f"{DOCUMENT_BYTES:,} bytes or {FIELDS} fields a document; first: {left_out[0]}",
            lost=True,
        )


def _kept(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """What is kept of a document's metadata, the keys of values that were cut, and of those that were left out."""
    kept: dict[str, Any] = {}
    cut, left_out = list[str](), list[str]()
    total = 0
    for key, value in metadata.items():
        if key in RESERVED:
            kept[key] = value
            continue
        size = _size(value)
        if size > VALUE_BYTES and isinstance(value, str):
            value, size = _shortened(value), VALUE_BYTES
            cut.append(key)
        total_with = total + _size(key) + size
        if size > VALUE_BYTES or total_with > DOCUMENT_BYTES or len(kept) >= FIELDS:
            left_out.append(key)
        else:
            total = total_with
            kept[key] = value
    return kept, [key for key in cut if key in kept], left_out


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    return len(json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace"))


def _shortened(text: str) -> str:
    return text[:VALUE_BYTES].encode("utf-8", "replace")[:VALUE_BYTES].decode("utf-8", "ignore")
