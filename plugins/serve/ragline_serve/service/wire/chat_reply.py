"""The reply of a chat: OpenAI's format, and `ragline` beside it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ragline_serve.service.wire.passages import NEAR_HELP, READ_HELP, ReadFilter, Source, Span
from ragline_serve.service.wire.stages import OutcomeReply, Stage


class Citation(BaseModel):
    """`start` and `end` are characters of the whole answer; `support` is a sentence of the source's text, guessed by words.

    `similar`: whether any sentence of the source has such words.
    """

    marker: int
    doc_id: str
    start: int
    end: int
    by: Literal["model", "attribution"]
    similar: bool
    support: Span | None


class Verdict(BaseModel):
    """What a check says of the sentence from `start` to `end` of the whole answer. `by`: the means, such as words.

    similar: the means found a passage like it, which does not say that the passage supports it. `marker`: the passage, if one
    decided. `score`: higher for more support; only scores of one means compare.
    """

    start: int
    end: int
    kind: Literal["supported", "contradicted", "unsupported", "similar"]
    by: str
    score: float
    marker: int | None


class ChatReport(BaseModel):
    """The extension of a chat response. The first chunk of a stream has no more than the first six fields."""

    sources: list[Source]
    query: str = Field(description="The question as it was searched with.")
    near: dict[str, list[str]] | None = Field(default=None, description=NEAR_HELP)
    read: list[ReadFilter] | None = Field(default=None, description=READ_HELP)
    session: str | None
    notes: list[str] = Field(description="What was not done as the request says, a sentence each.")
    citations: list[Citation]
    verdicts: list[Verdict] = Field(description="One for each sentence that a check judged; empty without a check.")
    confidence: float | None = Field(
        description="The calibrated chance that the answer is right; null without check.risk."
    )
    status: Literal["answered", "no_answer", "failed"]
    finish_reason: str
    outcome: OutcomeReply
    stages: list[Stage]
    entry: str | None = Field(description="By which POST /v1/feedback rates the answer; null where no log is kept.")


class UrlCitation(BaseModel):
    """`start_index` and `end_index`: the marker, as characters of the answer; the second is one past its last. `url`: the web
    address that the document names, else where this server's page shows the passage."""

    start_index: int
    end_index: int
    url: str
    title: str


class Annotation(BaseModel):
    type: Literal["url_citation"]
    url_citation: UrlCitation


class ReplyMessage(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: None
    annotations: list[Annotation] = Field(
        description="The model's citations in OpenAI's form; in a stream they come with the last chunk's delta, if any."
    )


class Choice(BaseModel):
    index: int
    message: ReplyMessage
    logprobs: None
    finish_reason: Literal["stop", "length"]


class CachedTokens(BaseModel):
    cached_tokens: int


class ChatUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class ChatReply(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage
    ragline: ChatReport
