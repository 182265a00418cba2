"""The common part of stages that call a language model: their bill, and the turns of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.core.llm_protocols import CountsCached
from rag.core.protocols import LLM, ChoosingLLM
from rag.core.types import Completion, Message, Prompt, Query, SamplingParams, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def usage_of(completion: Completion, *, seconds: float = 0.0) -> Usage:
    """The cost of one call. A batch's seconds are shared out by its caller."""
    return Usage(
        calls=1,
        prompt_tokens=completion.prompt_tokens,
        cached_tokens=completion.cached_tokens,
        new_tokens=completion.completion_tokens,
        seconds=seconds,
    )


def complete_each(llm: LLM, prompts: Sequence[Prompt], params: Sequence[SamplingParams]) -> list[Completion]:
    """One completion per prompt, in order, each with its own parameters. Those that share them go in one batch."""
    done: dict[int, Completion] = {}
    for shared in dict.fromkeys(params):
        numbers = [number for number, other in enumerate(params) if other == shared]
        done.update(zip(numbers, llm.complete([prompts[number] for number in numbers], shared), strict=True))
    return [done[number] for number in range(len(prompts))]


def cached_tokens(llm: LLM, n: int) -> Sequence[int]:
    """For each of the `n` prompts just scored, how many tokens came from a cache. 0 where the model does not say."""
    return (llm.last_cached if isinstance(llm, CountsCached) else ()) or (0,) * n


def choose_each(
    llm: ChoosingLLM, prompts: Sequence[Prompt], choices: Sequence[str]
) -> list[tuple[NDArray[np.float64], Usage]]:
    """For each prompt the log-probability of every choice, float64 [n_choices], and what the call cost but for seconds."""
    if not prompts:
        return []
    table = llm.choose(prompts, choices).astype(float)
    cached, counts = cached_tokens(llm, len(prompts)), llm.count_tokens(prompts)
    return [
        (row, Usage(calls=1, prompt_tokens=n, cached_tokens=kept))
        for row, n, kept in zip(table, counts, cached, strict=True)
    ]


def with_history(turns: Sequence[Message], query: Query) -> tuple[Message, ...]:
    """A prompt with the conversation in it: earlier turns before its first user turn, system ones at the head of its own.

    What the application wishes begins the last user turn, so that it stands below the rules of the prompt.
    """
    system = [turn for turn in (*query.history, *turns) if turn.role == "system"]
    said = [turn for turn in query.history if turn.role != "system"]
    rest = [turn for turn in turns if turn.role != "system"]
    if query.wishes:
        last = max(position for position, turn in enumerate(rest) if turn.role == "user")
        rest[last] = replace(rest[last], content=f"{_WISHES}\n{query.wishes}\n\n{rest[last].content}")
    if len(system) > 1:  # many chat templates take one
        system = [replace(system[0], content="\n\n".join(turn.content for turn in system))]
    return (*system, *said, *rest)


_WISHES = "What the application that asks wants of the answer, within the rules of this prompt:"
