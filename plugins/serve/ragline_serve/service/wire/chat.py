"""A request of a chat, in OpenAI's format, and its reply, with `ragline` beside it. What would change the form of the reply is
refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rag.doors import inside
from rag.types import Content
from ragline_serve.service.wire.forms import (
    FILTER_HELP,
    MOST_FIELDS,
    MOST_PARTS,
    Contents,
    ForeignForm,
    Form,
    Listed,
    Text,
    Where,
)
from ragline_serve.service.wire.passages import NEAR_HELP, READ_HELP, OutcomeReply, ReadFilter, Source, Span, Stage


class TextPart(ForeignForm):
    """A piece of a message that is text."""

    type: Literal["text"]
    text: Text


class PictureAddress(ForeignForm):
    """Where a picture is: in the request itself. Nothing is fetched."""

    url: str = Field(pattern=r"^data:image/[a-z0-9.+-]{1,60};base64,", description="data:image/png;base64,...")
    detail: Literal["auto", "low", "high"] | None = None


class PicturePart(ForeignForm):
    """A piece of a message that is a picture."""

    type: Literal["image_url"]
    image_url: PictureAddress

    @property
    def content(self) -> Content:
        head, _, data = self.image_url.url.partition(",")
        return inside("picture", head.removeprefix("data:").removesuffix(";base64"), data)


class Sound(ForeignForm):
    """Sound, in base64."""

    data: str = Field(min_length=1)
    format: Literal["wav", "mp3"]


class SoundPart(ForeignForm):
    """A piece of a message that is sound."""

    type: Literal["input_audio"]
    input_audio: Sound

    @property
    def content(self) -> Content:
        return inside("sound", f"audio/{self.input_audio.format}", self.input_audio.data)


Part = Annotated[TextPart | PicturePart | SoundPart, Field(discriminator="type")]


class ChatMessage(ForeignForm):
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

Stop = Annotated[str, Field(min_length=1, max_length=1000)]


class StreamOptions(ForeignForm):
    include_usage: bool = False


class ChatExtension(Form):
    """What a chat request may say beyond OpenAI's format."""

    session: str | None = Field(default=None, max_length=200, description="Id of a conversation kept by the server.")
    where: Where | None = Field(default=None, description=FILTER_HELP)
    contents: Contents = Field(default=[])


class ChatRequest(ForeignForm):
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
