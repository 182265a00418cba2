"""The common part of stages that call a language model: their bill, and the turns of a conversation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.core.contents import Content, of_kinds
from rag.core.llm_protocols import CountsCached
from rag.core.protocols import LLM, ChoosingLLM
from rag.core.types import Completion, Context, Message, Prompt, Query, SamplingParams, ScoredDocument, Usage

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


def with_shown(turns: Sequence[Message], context: Context, kinds: Collection[str]) -> Sequence[Message]:
    """A prompt with what the question and the passages hold of these kinds, where the bytes are there: behind the last turn of the
    user, each by whose it is."""
    shown = tuple(_shown(context, kinds))
    if not shown:
        return turns
    last = max(place for place, turn in enumerate(turns) if turn.role == "user")
    return [replace(turn, contents=shown) if place == last else turn for place, turn in enumerate(turns)]


def _shown(context: Context, kinds: Collection[str]) -> Iterator[Content]:
    for each in of_kinds(context.query.contents, kinds):
        yield replace(each, text=f"{each.kind.capitalize()} of the question:")
    for number, hit in enumerate(context.passages, start=1):
        for each in of_kinds(hit.document.contents, kinds):
            if each.data:
                yield replace(each, text=f"{each.kind.capitalize()} of passage [{number}]:")


def without_shown(context: Context) -> Context:
    """A context without the bytes that a model looked at: an answer outlives its prompt, and goes to whoever asked."""
    if not any(each.data for hit in context.passages for each in hit.document.contents):
        return context
    return replace(context, passages=tuple(map(_without_bytes, context.passages)))


def _without_bytes(hit: ScoredDocument) -> ScoredDocument:
    contents = tuple(replace(each, data="") for each in hit.document.contents)
    return replace(hit, document=replace(hit.document, contents=contents))
