"""What goes over the wire, as pydantic models: requests are checked against them, the OpenAPI is made from them.

Fields of foreign forms that a graph has no use for are not read, for clients send many; the reply of a chat names them.
What would change the form of the reply is refused by name. In forms of our own an unknown field is a mistake.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rag.core.contents import Content
from rag.core.errors import SpecError
from rag.core.filters import REQUEST, conditions, parse_where
from rag.service.settings import LONGEST_LIST

NEUTRAL: dict[str, list[Any]] = {
    "n": [1],
    "logprobs": [False],
    "top_logprobs": [0],
    "tool_choice": ["none", "auto"],
    "function_call": ["none", "auto"],
    "response_format": [{"type": "text"}],
    "modalities": [["text"]],
    "audio": [],
}
"""Fields of OpenAI's chat request that change the form of the reply, and the values that do not. With any other, a client
would look for what is not there, so those are refused. Fields that are neither here nor below are not read."""

_GREEDY_BELOW = 1e-4
"""A temperature that picks the likeliest token anyway; dividing by less leaves the numbers that models count with."""

MOST_FIELDS = 64
"""Fields of an object in a request: all that OpenAI's clients know, and some."""
MOST_PARTS = 64
"""Pieces of a message."""
FILTER_HELP = 'Metadata filter: {"lang": "de", "year": {"gte": 2020}}, or as text: lang = de and year >= 2020.'


def few_fields(data: Any) -> Any:
    """An object of a request whose fields are few, before each that is not known is complained of.

    Raises:
        ValueError: they are not.
    """
    if isinstance(data, dict) and len(data) > MOST_FIELDS:
        raise ValueError(f"an object of a request has at most {MOST_FIELDS} fields, got {len(data):,}")
    return data


def understood_filter(value: Any) -> Any:
    """A metadata filter that is small and can be understood, as it came; what is neither text nor an object too.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str | dict):
        return value
    try:
        tree = parse_where(value, limits=REQUEST)
    except SpecError as error:
        raise ValueError(re.sub(r"^where[:.,]? ?", "", str(error))) from None
    for condition in () if tree is None else conditions(tree):
        operand = condition.operator.value
        if not all(map(_is_scalar, operand if isinstance(operand, tuple) else (operand,))):
            raise ValueError("the values of a filter are text, finite numbers, true, false and null")
    return value


def _is_scalar(value: Any) -> bool:
    return value is None or (
        isinstance(value, str | int | float) and value not in (math.inf, -math.inf) and value == value
    )


Item = TypeVar("Item")
# A request of 4 MiB can be wrong in a million places: a list is given up at the first of them.
Listed = Annotated[list[Item], Field(fail_fast=True)]
Text = Annotated[str, Field(max_length=1_000_000)]
Stop = Annotated[str, Field(min_length=1, max_length=1000)]
Where = Annotated[str | dict[str, Any], BeforeValidator(understood_filter)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    _few_fields = model_validator(mode="before")(few_fields)


class _Foreign(_Request):
    """A form that others made and go on widening: fields that are not known here are not read."""

    model_config = ConfigDict(extra="ignore")


class TextPart(_Foreign):
    """A piece of a message that is text."""

    type: Literal["text"]
    text: Text


class PictureAddress(_Foreign):
    """Where a picture is: in the request itself. Nothing is fetched."""

    url: str = Field(pattern=r"^data:image/[a-z0-9.+-]{1,60};base64,", description="data:image/png;base64,...")
    detail: Literal["auto", "low", "high"] | None = None


class PicturePart(_Foreign):
    """A piece of a message that is a picture."""

    type: Literal["image_url"]
    image_url: PictureAddress

    @property
    def content(self) -> Content:
        head, _, data = self.image_url.url.partition(",")
        return _inside("picture", head.removeprefix("data:").removesuffix(";base64"), data)


class Sound(_Foreign):
    """Sound, in base64."""

    data: str = Field(min_length=1)
    format: Literal["wav", "mp3"]


class SoundPart(_Foreign):
    """A piece of a message that is sound."""

    type: Literal["input_audio"]
    input_audio: Sound

    @property
    def content(self) -> Content:
        return _inside("sound", f"audio/{self.input_audio.format}", self.input_audio.data)


Part = Annotated[TextPart | PicturePart | SoundPart, Field(discriminator="type")]


def _inside(kind: str, media_type: str, data: str) -> Content:
    """A content whose bytes are in the request.

    Raises:
        ValueError: they are not base64.
    """
    try:
        digest = sha256(b64decode(data, validate=True)).hexdigest()
    except ValueError:
        raise ValueError(f"a {kind} is sent in base64, and this is none") from None
    return Content(kind=kind, media_type=media_type, uri=f"data:{media_type};base64,{data}", sha256=digest)


class ChatMessage(_Foreign):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | Annotated[Listed[Part], Field(max_length=MOST_PARTS)] | None = None

    @property
    def is_system(self) -> bool:
        """Whether it is the application's word, not its user's."""
        return self.role in ("system", "developer")

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or () if isinstance(part, TextPart))

    @property
    def contents(self) -> tuple[Content, ...]:
        """Pieces that are no text.

        Raises:
            ValueError: one is not base64.
        """
        parts = () if isinstance(self.content, str) else self.content or ()
        return tuple(part.content for part in parts if not isinstance(part, TextPart))


class StreamOptions(_Foreign):
    include_usage: bool = False


class ChatExtension(_Request):
    """What a chat request may say beyond OpenAI's format."""

    session: str | None = Field(default=None, max_length=200, description="Id of a conversation kept by the server.")
    where: Where | None = Field(default=None, description=FILTER_HELP)


class ChatRequest(_Foreign):
    """A turn of a conversation, in OpenAI's format. The last message is the question."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Listed[ChatMessage] = Field(min_length=1, max_length=1000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=2**31)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Stop | Annotated[Listed[Stop], Field(max_length=16)] | None = None
    ragline: ChatExtension | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_other_forms(cls, data: Any) -> Any:
        if not isinstance(data, dict) or len(data) > MOST_FIELDS:  # the check of every object says so
            return data
        strange = sorted(name for name in NEUTRAL.keys() & data.keys() if not _is_neutral(name, data[name]))
        if strange:
            raise ValueError(f"{', '.join(strange)}: not supported; the graph decides how it answers")
        return data

    @property
    def ignored(self) -> list[str]:
        """Names of the fields that are not read, those left out that ask for nothing."""
        return sorted(name for name, value in (self.model_extra or {}).items() if value and name not in NEUTRAL)

    @property
    def sampling(self) -> dict[str, Any]:
        """Fields of `SamplingParams` that the request sets."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        cold = self.temperature is not None and self.temperature < _GREEDY_BELOW
        fields = {
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "temperature": 0.0 if cold else self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": stop or None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def _is_neutral(name: str, value: Any) -> bool:
    return value is None or any(value == neutral for neutral in NEUTRAL[name])


class SearchRequest(_Request):
    model: str | None = Field(default=None, description="The graph that searches; unset takes the server's first.")
    query: str = Field(min_length=1, max_length=10_000)
    k: int | None = Field(default=None, ge=1, description="Hits wanted; unset takes the graph's own number.")
    where: Where | None = Field(default=None, description=FILTER_HELP)


class RerankDocument(_Foreign):
    text: Text


class RerankRequest(_Foreign):
    """Documents to put in order, as Cohere and Jina have it."""

    model: str | None = None
    query: str = Field(min_length=1, max_length=10_000)
    documents: Listed[Text | RerankDocument] = Field(min_length=1, max_length=LONGEST_LIST)
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False

    @property
    def texts(self) -> list[str]:
        return [one if isinstance(one, str) else one.text for one in self.documents]


class EmbeddingsRequest(_Foreign):
    """Texts to encode, in OpenAI's format. `input_type` says which side of the encoder reads them."""

    model: str
    input: Text | Annotated[Listed[Text], Field(max_length=LONGEST_LIST)] = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: None = Field(default=None, description="Not taken: vectors have the encoder's own length.")
    input_type: Literal["query", "document"] = "document"

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Position(BaseModel):
    """Where a text stands in its source: relative path, page from 1, headings above it, characters.

    `index_name`: where several are searched as one.
    """

    index_name: str | None = None
    source: str | None = None
    page: int | None = None
    headings: list[str] | None = None
    start: int | None = None
    end: int | None = None


class Span(BaseModel):
    """Characters of a text: the first, and one past the last."""

    start: int
    end: int


class Snippet(BaseModel):
    """The sentence that matches, on one line, as plain text; `marks` are spans of it that are words of the query."""

    text: str
    marks: list[Span]


class Hit(BaseModel):
    rank: int
    doc_id: str
    score: float
    title: str
    text: str
    position: Position
    contents: list[dict[str, Any]] | None = Field(
        default=None, description="What it holds beside text; left out if nothing."
    )
    duplicates: int | None = Field(default=None, description="How many others say nearly the same; left out if none.")
    snippet: Snippet


class Source(BaseModel):
    """A passage that the answer is written from; the answer cites it as [marker]."""

    marker: int
    doc_id: str
    score: float
    title: str
    text: str
    position: Position
    contents: list[dict[str, Any]] | None = Field(
        default=None, description="What it holds beside text; left out if nothing."
    )
    duplicates: int | None = Field(default=None, description="How many others say nearly the same; left out if none.")


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


class ChatReport(BaseModel):
    """The extension of a chat response. The first chunk of a stream has no more than `sources`, `query`, `session`, `notes`."""

    sources: list[Source]
    query: str = Field(description="The question as it was searched with.")
    session: str | None
    notes: list[str] = Field(description="What was not done as the request says, a sentence each.")
    citations: list[Citation]
    status: Literal["answered", "no_answer", "failed"]
    finish_reason: str
    outcome: OutcomeReply
    stages: list[Stage]


class ReplyMessage(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: None


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


class SearchReply(BaseModel):
    """`node` ranked the hits; `degraded` when it is not the graph's last one, whose model is down."""

    query: str
    hits: list[Hit]
    outcome: OutcomeReply
    node: str
    degraded: bool
    stages: list[Stage]


class RerankResult(BaseModel):
    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankUsage(BaseModel):
    total_tokens: int


class RerankReply(BaseModel):
    id: str
    model: str
    results: list[RerankResult]
    outcome: OutcomeReply
    usage: RerankUsage


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(BaseModel):
    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: EmbeddingsUsage


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[Model]


class IndexPart(BaseModel):
    """One index: its name, as ids begin with it where several are searched as one."""

    name: str
    passages: int


class IndexReply(BaseModel):
    """`name`: the last part of its address; null where the graph searches none. `identity`: of what it holds and how it
    was built, so another one after every build that changed something. `parts`: the indexes that are searched as one, or
    the only one. `examples`: questions made of titles in all of them."""

    name: str | None
    identity: str | None
    passages: int
    parts: list[IndexPart]
    legs: list[str]
    examples: list[str]


class Health(BaseModel):
    status: Literal["ok"]


class DegradedPart(BaseModel):
    """`part`: a model of the graph, or a node. `means`: what is worse for it."""

    part: str
    means: str


class Ready(BaseModel):
    status: Literal["loading", "ready", "degraded"]
    degraded: list[DegradedPart]


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """Every error takes this form."""

    error: ErrorBody


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an endpoint, for the OpenAPI. `default` keeps FastAPI from promising its own form for 422."""
    return {code: {"model": Error} for code in codes} | {"default": {"model": Error, "description": "Any other error"}}
