"""Documents that come into an index, change in it, and go from it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from ragline_serve.service.wire.forms import Form, Listed, Text
from ragline_serve.service.wire.passages import CONTENTS_HELP, Position
from ragline_serve.service.wire.where import FILTER_HELP, Where

MOST = 10_000
"""Documents of a request."""


class DocumentsRequest(Form):
    model: str | None = Field(default=None, description="The graph whose index it is; unset takes the server's first.")
    documents: Listed[dict[str, Any]] = Field(
        min_length=1, max_length=MOST, description="Objects with id, title and text; all other fields are metadata."
    )
    update: bool = Field(default=False, description="Put them in the place of those with the same ids.")


class RemovalRequest(Form):
    model: str | None = Field(default=None, description="The graph whose index it is; unset takes the server's first.")
    ids: Listed[Text] | None = Field(default=None, min_length=1, max_length=MOST, description="Ids of documents.")
    where: Where | None = Field(default=None, description=FILTER_HELP)


class DocumentsReply(BaseModel):
    """What the index holds now, of what the writer may read. `ids`: of what was given, in its order. `encoded`: null where
    the key is for somebody. `generation`: the one that searches find the change in, once the server has opened it.
    """

    documents: int
    passages: int
    parts: int
    encoded: int | None
    ids: list[str]
    generation: str


class DocumentPassage(BaseModel):
    """`repeats`: characters at the beginning of `text` that stand at the end of the passage before."""

    doc_id: str
    title: str
    text: str
    repeats: int
    position: Position
    contents: list[dict[str, Any]] | None = Field(default=None, description=CONTENTS_HELP)


class DocumentReply(BaseModel):
    """Passages of a document in their order. `asked`: the place of the one that was asked for. `url`: where the original is
    on the web, if its metadata says it."""

    title: str
    url: str | None
    asked: int
    passages: list[DocumentPassage]
