"""Replies of an OpenAI-compatible server -> completions. Nothing in a reply is taken on trust. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rag.core.errors import StageError
from rag.core.types import Completion

_REASONS = {"stop": "stop", "length": "length"}


class Malformed(StageError):
    """A reply that is not what the protocol says."""


def completion(reply: Any) -> Completion:
    """The completion in a reply of /chat/completions or /completions.

    Raises:
        Malformed: it holds none.
    """
    choice = only_choice(reply)
    return Completion(
        text=text_of(choice.get("message") or choice),
        finish_reason=reason(choice.get("finish_reason")),
        logprobs=logprobs(choice.get("logprobs")),
        **tokens(reply.get("usage")),
    )


def only_choice(reply: Any) -> dict[str, Any]:
    """The first choice of a reply."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Malformed("llm.server: the server's reply holds no completion ('choices' is missing or empty)")
    return choices[0]


def text_of(said: Any) -> str:
    """Text of a message, a streamed delta, or a choice of /completions. A null content is no text."""
    content = said.get("content", said.get("text")) if isinstance(said, dict) else None
    if content is not None and not isinstance(content, str):
        raise Malformed("llm.server: the server's reply holds a completion that is not text")
    return content or ""


def reason(said: Any) -> str:
    """`stop`, `length`, or `abort` for all that is neither, such as a content filter."""
    return _REASONS.get(said, "abort") if isinstance(said, str) else "abort"


def tokens(usage: Any) -> dict[str, int]:
    """What the call cost; zeros where the server does not say."""
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    return {
        "prompt_tokens": _count(usage.get("prompt_tokens")),
        "completion_tokens": _count(usage.get("completion_tokens")),
        "cached_tokens": _count(details.get("cached_tokens")) if isinstance(details, dict) else 0,
    }


def logprobs(said: Any) -> tuple[Mapping[str, float], ...] | None:
    """Token -> log-probability at every place, in either of the protocol's two layouts."""
    if not isinstance(said, dict):
        return None
    try:
        if isinstance(said.get("content"), list):
            return tuple(_chat_place(place) for place in said["content"])
        if isinstance(said.get("tokens"), list):
            places = zip(said["tokens"], said["token_logprobs"], said["top_logprobs"], strict=True)
            return tuple({**(top or {}), token: float(logprob)} for token, logprob, top in places)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed(f"llm.server: the server's log-probabilities cannot be read ({error})") from error
    return None


def _chat_place(place: Any) -> dict[str, float]:
    likeliest = {str(top["token"]): float(top["logprob"]) for top in place["top_logprobs"]}
    likeliest.setdefault(str(place["token"]), float(place["logprob"]))
    return likeliest


def prompt_scores(reply: Any, tail: Sequence[int]) -> list[float]:
    """Log-probability of each of the last tokens of the prompt that was sent."""
    places = only_choice(reply).get("prompt_logprobs")
    if not isinstance(places, list):
        raise Malformed("llm.server: the server did not score the text it was given")
    try:
        scores = [float(place[str(id_)]["logprob"]) for place, id_ in zip(places[-len(tail) :], tail, strict=True)]
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"llm.server: the server's scores are not those of the tokens sent ({error!r})") from error
    if any(math.isnan(score) for score in scores):
        raise Malformed("llm.server: the server's scores are not numbers")
    return scores


def _count(said: Any) -> int:
    return said if isinstance(said, int) and said >= 0 else 0
