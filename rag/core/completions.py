"""The common part of stages that call a language model: their bill, and the turns of a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.protocols import LLM, CountsCached
from rag.core.types import Completion, Message, Usage


def usage_of(completion: Completion, *, seconds: float = 0.0) -> Usage:
    """The cost of one call. A batch's seconds are shared out by its caller."""
    return Usage(
        calls=1,
        prompt_tokens=completion.prompt_tokens,
        cached_tokens=completion.cached_tokens,
        new_tokens=completion.completion_tokens,
        seconds=seconds,
    )


def cached_tokens(llm: LLM, n: int) -> Sequence[int]:
    """For each of the `n` prompts just scored, how many tokens came from a cache. 0 where the model does not say."""
    return (llm.last_cached if isinstance(llm, CountsCached) else ()) or (0,) * n


def with_history(turns: Sequence[Message], history: Sequence[Message]) -> tuple[Message, ...]:
    """Earlier turns of a conversation put before the first user turn of a prompt."""
    first = next((position for position, turn in enumerate(turns) if turn.role == "user"), len(turns))
    return (*turns[:first], *history, *turns[first:])
