"""/v1/index: which index, and which generation of it, answers now."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import PurePath
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from rag.core.filters import Filter
from rag.core.types import Document
from rag.serve.files import Uploads
from rag.service.askers import asked_in
from rag.service.replies import JSONReply
from rag.service.services import Services
from rag.service.wire.described import IndexReply
from rag.service.wire.errors import refusals
from retrievers.index_protocol import HasParts, Index, is_labelled

Rows = Sequence[int] | NDArray[np.int64]

_EXAMPLES, _LOOKED_AT = 4, 200
_SHORTEST, _LONGEST = 3, 40
"""Characters of a topic."""


def router(services: Services, uploads: Uploads) -> APIRouter:
    """The endpoint over the services. `uploads` says who may bring files."""
    routes = APIRouter(tags=["models"])

    @routes.get(
        "/v1/index", summary="The index that is searched now", response_model=IndexReply, responses=refusals(404)
    )
    def index(request: Request, model: str | None = None) -> Response:
        described = _described(services.serving(request, model).pipeline.index, asked_in(request, None))
        return JSONReply({**described, "takes_files": uploads.offered(request, model)})

    return routes


def _described(index: Index | None, where: Filter | None) -> dict[str, Any]:
    """The index as whoever asks may know it: what they may not read is not counted."""
    if index is None:
        return {"name": None, "identity": None, "passages": 0, "parts": [], "legs": [], "examples": []}
    parts = index.parts if isinstance(index, HasParts) else {PurePath(index.name).name: index}
    rows = {name: readable(part, where) for name, part in parts.items()}
    topics = _topics([_topics_of(part, rows[name]) for name, part in parts.items()])
    return {
        "name": " and ".join(parts),
        "identity": index.identity,
        "passages": sum(map(len, rows.values())),
        "parts": [{"name": name, "passages": len(of_part)} for name, of_part in rows.items()],
        "legs": list(index.legs),
        "examples": [f"What do the documents say about {topic}?" for topic in topics],
    }


def readable(index: Index, where: Filter | None) -> Rows:
    """The rows that whoever asks may read; `where` says who that is."""
    return index.rows(where) if is_labelled(index) else range(len(index))


def _topics(of_parts: Sequence[Sequence[str]]) -> list[str]:
    """A few of those of all indexes, from each in turn."""
    topics = dict.fromkeys(topic for turn in zip_longest(*of_parts) for topic in turn if topic)
    return list(topics)[: max(_EXAMPLES, len(of_parts))]


def _topics_of(index: Index, rows: Rows) -> list[str]:
    """What a few of these passages are about, from all over them."""
    some = rows[:: max(1, len(rows) // _LOOKED_AT)][:_LOOKED_AT]
    documents = index.documents.many(some)
    prose = [document for document in documents if not _is_row(document)]
    topics = [topic for topic in dict.fromkeys(map(_topic, prose or documents)) if topic]
    return topics[:: max(1, len(topics) // _EXAMPLES)][:_EXAMPLES]


def _is_row(document: Document) -> bool:
    """Whether it is the row of a table, which begins with a column and its cell: nobody asks what documents say about one."""
    column, colon, _ = document.text.partition(": ")
    return bool(colon) and column in document.metadata


def _topic(document: Document) -> str:
    """The heading right above the passage, else its title; empty where that is no topic to show."""
    headings = document.metadata.get("headings")
    topic = " ".join(str(headings[-1] if headings and isinstance(headings, list | tuple) else document.title).split())
    return topic if _SHORTEST <= len(topic) <= _LONGEST and topic.isprintable() else ""
