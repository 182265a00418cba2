"""Spans of a model's calls, whatever the model is.

A graph's models are watched from outside: the methods that ask something of the model are replaced, on that one object,
by ones that make a span around them. What a reranker does inside a model's layers shows in the reranker's span alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from opentelemetry.trace import Span, SpanKind

from rag.protocols import CanChoose, CanScore, CanStream
from rag.tracing import recorder
from rag.types import Completion, Prompt, SamplingParams
from ragline_tracing.spans import OPERATION, Spans

Call = Callable[..., Any]


class Entry(Protocol):
    """A model's entry in a graph: what it is, and its parameters."""

    @property
    def use(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...


MOST_PROMPTS = 20
"""Prompts of a batch whose text goes into a span, where text is asked for."""

_PROVIDERS = {"llm.server": "openai"}
"""What a component speaks; else its own name says who computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """What the spans of a model's calls say of it."""

    name: str
    provider: str
    kind: SpanKind

    def describe(self, operation: str, n_prompts: int) -> dict[str, Any]:
        return {
            OPERATION: operation,
            "gen_ai.provider.name": self.provider,
            "gen_ai.request.model": self.name,
            "ragline.prompts": n_prompts,
        }


def watch_calls(model: Any, name: str, part: Entry) -> None:
    """Make a span around each later call of `complete`, `stream`, `score` and `choose` of this model."""
    try:
        if "watched_as" in vars(model):
            return
    except TypeError:  # an object with slots cannot be watched
        return
    about = _Model(
        name=str(part.params.get("model") or name),
        provider=_PROVIDERS.get(part.use, part.use.partition(".")[2]),
        kind=SpanKind.CLIENT if part.use in _PROVIDERS else SpanKind.INTERNAL,
    )
    wrappers: dict[str, tuple[type[Any], Callable[[Call, _Model], Call]]] = {
        "complete": (object, _completing),
        "stream": (CanStream, _streaming),
        "score": (CanScore, partial(_judging, "score")),
        "choose": (CanChoose, partial(_judging, "choose")),
    }
    model.watched_as = name
    for method, (power, wrap) in wrappers.items():
        if isinstance(model, power):
            setattr(model, method, wrap(getattr(model, method), about))


def _spans() -> Spans | None:
    """What makes spans now: None while tracing is off, or somebody else records."""
    now = recorder()
    return now if isinstance(now, Spans) else None


def _completing(plain: Call, about: _Model) -> Call:
    def complete(prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        spans = _spans()
        if spans is None:
            return plain(prompts, params)  # type: ignore[no-any-return]
        attributes = about.describe("chat", len(prompts)) | _asked(params)
        with spans.span(f"chat {about.name}", attributes, kind=about.kind) as span:
            completions: list[Completion] = plain(prompts, params)
            _tell(span, spans, prompts, completions)
            return completions

    return complete


def _streaming(plain: Call, about: _Model) -> Call:
    def stream(prompt: Prompt, params: SamplingParams) -> Any:
        spans, pieces = _spans(), plain(prompt, params)
        if spans is None:
            return pieces
        attributes = about.describe("chat", 1) | _asked(params) | {"gen_ai.request.stream": True}
        span = spans.begin(f"chat {about.name}", attributes, kind=about.kind)
        return spans.follow(span, _told_at_end(pieces, span, spans, prompt))

    return stream


def _judging(operation: str, plain: Call, about: _Model) -> Call:
    def judge(prompts: Sequence[Prompt], *texts: Any, **named: Any) -> Any:
        spans = _spans()
        if spans is None:
            return plain(prompts, *texts, **named)
        with spans.span(f"{operation} {about.name}", about.describe(operation, len(prompts)), kind=about.kind):
            return plain(prompts, *texts, **named)

    return judge


def _told_at_end(pieces: Any, span: Span, spans: Spans, prompt: Prompt) -> Generator[str, None, Any]:
    completion = yield from pieces
    if isinstance(completion, Completion):
        _tell(span, spans, [prompt], [completion])
    return completion


def _asked(params: SamplingParams) -> dict[str, Any]:
    return {
        "gen_ai.request.max_tokens": params.max_tokens,
        "gen_ai.request.temperature": params.temperature,
        "gen_ai.request.top_p": params.top_p,
        "gen_ai.request.seed": params.seed,
    }


def _tell(span: Span, spans: Spans, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> None:
    span.set_attributes(
        {
            "gen_ai.usage.input_tokens": sum(c.prompt_tokens for c in completions),
            "gen_ai.usage.output_tokens": sum(c.completion_tokens for c in completions),
            "gen_ai.usage.cache_read.input_tokens": sum(c.cached_tokens for c in completions),
            "gen_ai.response.finish_reasons": sorted({c.finish_reason for c in completions}),
        }
    )
    for prompt, completion in list(zip(prompts, completions, strict=False))[:MOST_PROMPTS] if spans.text else ():
        messages = [{"role": m.role, "parts": [{"type": "text", "content": m.content}]} for m in prompt]
        said = [{"role": "assistant", "parts": [{"type": "text", "content": completion.text}]}]
        span.add_event(
            "ragline.call", {"gen_ai.input.messages": json.dumps(messages), "gen_ai.output.messages": json.dumps(said)}
        )
