"""A passage as a reply shows it, and what each node of the graph did."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

NEAR_HELP = "Words of the query that hardly a document has -> what was searched for each; left out if there are none."
READ_HELP = "Filters that a node read from the words of the question; left out if there are none."


class ReadFilter(BaseModel):
    """A filter on one field, in both forms that `where` takes."""

    field: str
    text: str
    where: dict[str, Any]


class Position(BaseModel):
    """Where a text stands in its source: relative path, page from 1, headings above it, characters.

    `index_name`: where several are searched as one. `ocr`: the page was read from a picture.
    """

    index_name: str | None = None
    source: str | None = None
    page: int | None = None
    ocr: bool | None = None
    headings: list[str] | None = None
    start: int | None = None
    end: int | None = None


class Span(BaseModel):
    """Characters of a text: the first, and one past the last."""

    start: int
    end: int


class Picked(Span):
    """A stretch of a passage that a node picked out, such as a name, and what stands there."""

    text: str


class Snippet(BaseModel):
    """The sentence that matches, on one line, as plain text; `marks` are spans of it that are words of the query."""

    text: str
    marks: list[Span]


CONTENTS_HELP = "What it holds beside text, each in the form of its kind; left out if nothing."


class _Found(BaseModel):
    """What hits and sources have alike."""

    doc_id: str
    score: float
    relevance: float | None = Field(
        default=None, description="What the score is worth, 0 to 1; left out if not calibrated."
    )
    title: str
    text: str
    position: Position
    contents: list[dict[str, Any]] | None = Field(default=None, description=CONTENTS_HELP)
    duplicates: int | None = Field(default=None, description="How many others say nearly the same; left out if none.")
    spans: list[Picked] | None = Field(
        default=None, description="What a node picked out of `text`; left out if nothing."
    )


class Hit(_Found):
    rank: int
    snippet: Snippet


class Source(_Found):
    """A passage that the answer is written from; the answer cites it as [marker]."""

    marker: int
    url: str | None = Field(default=None, description="Where the original is on the web; left out if nothing says it.")


class OutcomeReply(BaseModel):
    kind: Literal["ok", "empty", "repaired", "fallback", "failed"]
    detail: str
    counts: dict[str, int]


class StageUsage(BaseModel):
    calls: int
    prompt_tokens: int
    cached_tokens: int
    new_tokens: int


class StageHit(BaseModel):
    """`from_rank`: the best rank among the inputs of the stage; null for a document that none of them had."""

    doc_id: str
    title: str
    rank: int
    score: float
    from_rank: int | None


class Stage(BaseModel):
    """What one node did. `seconds` are those of the batch, of which this request was one of `batch` records."""

    name: str
    use: str
    seconds: float
    batch: int
    outcomes: dict[str, int]
    counts: dict[str, int]
    usage: StageUsage
    hits: list[StageHit] | None = Field(default=None, description="Of stages that rank, the first twenty.")
