"""/v1/index: which index, and which generation of it, answers now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import PurePath
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import BaseModel
from starlette.responses import Response

from rag.doors import code_of, seeming_language
from rag.filters import Filter
from rag.indexes import HasParts, Index, is_labelled
from rag.types import Document
from ragline_serve.http.files import Uploads
from ragline_serve.service.askers import asked_in
from ragline_serve.service.replies import JSONReply
from ragline_serve.service.services import Services
from ragline_serve.service.wire.forms import refusals

Rows = Sequence[int] | NDArray[np.int64]

_EXAMPLES, _LOOKED_AT = 4, 200
_SHORTEST, _LONGEST, _LONGEST_QUESTION = 3, 40, 80
"""Characters of a topic, and the most of one that is a question as it stands. So short a word in capitals says nothing."""
_FRAMES = {"en": "What do the documents say about {}?", "de": "Was sagen die Dokumente zum Thema {}?"}
"""By language. Of others a topic is shown as it stands."""
_NUMBERED = re.compile(r"(?:\d{1,4}\.)+ (?=\S)")
"""Before a heading: `8.3.1. Payments`."""
_FILE_NAME = re.compile(r"\S*\w[./\\]\w\S*")


class IndexPart(BaseModel):
    """One index: its name, as ids begin with it where several are searched as one."""

    name: str
    passages: int


class IndexReply(BaseModel):
    """`name`: the last part of its address; null where the graph searches none. `identity`: of what it holds and how it
    was built, so another one after every build that changed something. `parts`: the indexes that are searched as one, or
    the only one. `examples`: questions made of titles in all of them. `takes_files`: whether who asks may bring some."""

    name: str | None
    identity: str | None
    passages: int
    parts: list[IndexPart]
    legs: list[str]
    examples: list[str]
    takes_files: bool


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
    turns = zip_longest(*(_examples_of(part, rows[name]) for name, part in parts.items()))  # from each in turn
    questions = dict.fromkeys(question for turn in turns for question in turn if question)
    return {
        "name": " and ".join(parts),
        "identity": index.identity,
        "passages": sum(map(len, rows.values())),
        "parts": [{"name": name, "passages": len(of_part)} for name, of_part in rows.items()],
        "legs": list(index.legs),
        "examples": list(questions)[: max(_EXAMPLES, len(parts))],
    }


def readable(index: Index, where: Filter | None) -> Rows:
    """The rows that whoever asks may read; `where` says who that is."""
    return index.rows(where) if is_labelled(index) else range(len(index))


def _examples_of(index: Index, rows: Rows) -> list[str]:
    """Questions that a few of these passages are about, from all over them."""
    some = rows[:: max(1, len(rows) // _LOOKED_AT)][:_LOOKED_AT]
    documents = index.documents.many(some)
    prose = [document for document in documents if not _is_row(document)]
    questions = [question for question in dict.fromkeys(map(_question, prose or documents)) if question]
    return questions[:: max(1, len(questions) // _EXAMPLES)][:_EXAMPLES]


def _is_row(document: Document) -> bool:
    """Whether it is the row of a table, which begins with a column and its cell: nobody asks what documents say about one."""
    column, colon, _ = document.text.partition(": ")
    return bool(colon) and column in document.metadata


def _question(document: Document) -> str:
    """What the heading right above the passage asks, else its title; of either that is no question, what is said of it.

    Empty where that is no topic to show, such as the name of a file. It is in the language of the passage, where a frame is.
    """
    headings = document.metadata.get("headings")
    named = str(headings[-1] if headings and isinstance(headings, list | tuple) else document.title)
    topic = _NUMBERED.sub("", " ".join(named.split()))
    bare = topic.rstrip("?？")
    longest = _LONGEST if bare == topic else _LONGEST_QUESTION
    if not (topic.isprintable() and _SHORTEST <= len(bare) <= longest):
        return ""
    if bare != topic:
        return bare + topic[-1]
    if topic == document.parent or _FILE_NAME.fullmatch(topic) or (len(topic) == _SHORTEST and topic.isupper()):
        return ""
    language = seeming_language(f"{document.title} {document.text}") or code_of(document.metadata) or "en"
    return _FRAMES.get(language, "{}").format(topic)
