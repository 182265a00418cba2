"""A request of a chat, in OpenAI's format. What would change the form of the reply is refused by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from ragline_serve.service.wire.forms import MOST_FIELDS, Contents, ForeignForm, Form, Listed
from ragline_serve.service.wire.messages import ChatMessage
from ragline_serve.service.wire.where import FILTER_HELP, Where

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
