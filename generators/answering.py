"""The common part of the generators of answers: mending and judging a reply, whole or as it is written."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from statistics import fmean
from typing import Any, Generic, Literal, TypeVar, cast

from generators.mending import Mender
from rag.core.completions import complete_each
from rag.core.llm_protocols import CanStream, CanStreamTogether
from rag.core.protocols import LLM, close
from rag.core.types import OK, Answer, Completion, Message, Outcome, Prompt, SamplingParams
from rag.ingest.sentences import sentences
from rag.stages.cite import content_words, says
from rag.stages.markers import without_markers

T = TypeVar("T")
Status = Literal["answered", "no_answer", "failed"]

QUESTION_TOKENS = 256
"""Room that is set aside for a question when a budget is checked before any question is known."""


_WORD = re.compile(r"[^\W\d_]+")
_NAMES = """
    passage passages source sources quelle quellen passagen abschnitt textstelle fuente fuentes pasaje pasajes fonte fonti fontes
    passaggio brano brani trecho trechos bron bronnen källa källor kilde kilder lähde źródło zdroj forrás kaynak источник and und
"""
_NAMES_OF_PASSAGES = frozenset(_NAMES.split())


def has_content(text: str) -> bool:
    """Whether a text has a word that is no name of passages. Once true of a beginning, it is true of the whole."""
    return any(word.casefold() not in _NAMES_OF_PASSAGES for word in _WORD.findall(text))


def says_something(text: str) -> bool:
    """Whether a text has a word of content, or a number: not only markers, or names of passages such as "Passage [2]"."""
    plain = without_markers(text)
    return has_content(plain) or (any(map(str.isalnum, plain)) and not _WORD.search(plain))


def repeats(text: str, question: str, *, least: float = -1.0) -> bool:
    """Whether all words of a text are those of a sentence that the question tells before it asks, and more than this share of
    them; unset, a text without words too. An answer may be one word of it, so an echo is told by its length (`ECHO`).

    >>> question = "The power went out while I was typing. How do I get it back?"
    >>> repeats("The power went out while you were typing. [1]", question, least=ECHO), repeats("Open it. [1]", question)
    (True, False)
    """
    told = [content_words(question[start:end]) for start, end in sentences(question)][:-1]
    said = content_words(without_markers(text))
    return any(said <= words and len(said) > least * len(words) for words in told)


ECHO = 0.7
"""Share of a sentence's words from which on a text says it again."""


def status_of(text: str, *, refusal: str, question: str = "") -> Status:
    """`failed` when nothing was said (`says_something`, `repeats`); `no_answer` when the model declined as it was told to."""
    if not says_something(text) or repeats(text, question, least=ECHO):
        return "failed"
    return "no_answer" if refusal and says(text, refusal) else "answered"


def outcome_of(
    completion: Completion,
    status: Status,
    *,
    mended: Mapping[str, int],
    removed: int = 0,
    in_code: int = 0,
    dissimilar: int = 0,
    moved: int = 0,
    added: int = 0,
    copied: int = 0,
) -> Outcome:
    """What became of a call: nothing usable, text or markers removed, cut off at the limit, or plainly ok.

    Args:
        mended: how often a `Mender` left out what.
        in_code: markers that stand in code, where they cite nothing.
        moved: markers that were given other numbers.
        added: markers of clauses that are of another passage than their sentence's end.
        copied: numbers, units, days and names that were put as a passage has them.
        dissimilar: citations of passages without words like those that they are cited for.
    """
    counts = {
        **mended,
        "removed_markers": removed,
        "moved_markers": moved,
        "added_markers": added,
        "mended_copies": copied,
        "markers_in_code": in_code,
        "dissimilar_citations": dissimilar,
        "cut_off": int(completion.finish_reason == "length"),
    }
    counts = {name: n for name, n in counts.items() if n}
    if status == "failed":
        wrote = f"nothing but {_in_words(mended)}" if mended else "no word"
        return Outcome(kind="failed", detail=f"the model wrote {wrote}", counts=counts)
    if removed or mended:
        parts = [f"{_in_words(mended)} left out"] if mended else []
        if removed:
            were = "were" if removed > 1 else "was"
            parts.append(f"{removed} marker{'s' * (removed > 1)} named no passage and {were} removed")
        return Outcome(kind="repaired", detail="; ".join(parts), counts=counts)
    return Outcome(counts=counts) if counts else OK


_ONE = {"loops": "loop", "echoes": "echo", "half_sentences": "half sentence"}


def _in_words(mended: Mapping[str, int]) -> str:
    """Such as "2 loops, 1 half sentence"."""
    return ", ".join(f"{n} {_ONE[kind] if n == 1 else kind.replace('_', ' ')}" for kind, n in mended.items())


def likelihood_of(completion: Completion) -> float | None:
    """The mean log-probability of the tokens that were written; None where it was not asked for, or nothing was written.

    Asked for one candidate, a model tells of a place the likeliest token and the one it wrote: that is never the likelier.
    """
    if not completion.logprobs:
        return None
    written = [min(place.values()) for place in completion.logprobs if place]
    return fmean(written) if written else None


def warn(logger: logging.Logger, by: str, answers: Sequence[Answer]) -> None:
    """One warning for a batch that holds unusable or mended answers."""
    bad = [answer for answer in answers if answer.outcome.kind in ("failed", "repaired")]
    if bad:
        logger.warning(
            "%s: of %d answers, %d failed and %d were mended; first: qid %r (%s)",
            by,
            len(answers),
            sum(answer.outcome.kind == "failed" for answer in bad),
            sum(answer.outcome.kind == "repaired" for answer in bad),
            bad[0].qid,
            bad[0].outcome.detail,
        )


def opening(prompt: Prompt) -> str:
    """The beginning of the answer that a prompt writes itself, for the model to continue."""
    return prompt[-1].content if prompt[-1].role == "assistant" else ""


class Drained(Generic[T]):
    """The pieces that a generator gives; `value` is what it returned, once all are taken. Closing it closes the generator."""

    value: T

    def __init__(self, source: Generator[str, None, T]) -> None:
        self._source = source

    def __iter__(self) -> Iterator[str]:
        self.value = yield from self._source

    def close(self) -> None:
        close(self._source)


def pieces(llm: LLM, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
    """The pieces of one completion, and in the end the completion; text that the prompt began comes first.

    A model that cannot stream gives one piece. A stream that does not return its Completion, as a generator may, is
    counted afterwards. Closing this closes the model's stream.
    """
    yield opening(prompt)
    if not isinstance(llm, CanStream):
        [completion] = llm.complete([prompt], params)
        yield completion.text
        return completion
    drained = Drained[Any](cast("Generator[str, None, Any]", llm.stream(prompt, params)))
    parts: list[str] = []
    with closing(drained):
        for piece in drained:
            parts.append(piece)
            yield piece
    return drained.value if isinstance(drained.value, Completion) else _counted(llm, prompt, "".join(parts))


def mended(prompt: Prompt, completion: Completion, mender: Mender) -> tuple[str, Completion]:
    """The whole text of an answer without what the mender leaves out, and the completion as it then reads."""
    text = mender.add(opening(prompt) + completion.text) + mender.finish(cut=completion.finish_reason == "length")
    return text, _ended(completion, mender)


def mended_pieces(llm: LLM, prompt: Prompt, params: SamplingParams, mender: Mender) -> Generator[str, None, Completion]:
    """`pieces` without what the mender leaves out. A model that says nothing new any more is stopped."""
    drained = Drained[Completion](pieces(llm, prompt, params))
    written: list[str] = []
    with closing(drained):
        for piece in drained:
            written.append(piece)
            if settled := mender.add(piece):
                yield settled
            if mender.done:
                return _counted(llm, prompt, "".join(written[1:]))
    if rest := mender.finish(cut=drained.value.finish_reason == "length"):
        yield rest
    return _ended(drained.value, mender)


def completed(
    llm: LLM, prompts: Sequence[Prompt], params: Sequence[SamplingParams], menders: Iterable[Mender]
) -> list[Completion]:
    """`complete_each`, with one alone read as a stream: a model that goes round is stopped, in place of writing to the limit.
    A stream that is stopped has no likelihoods, so where these are asked for none is read."""
    if len(prompts) != 1 or params[0].logprobs or not (isinstance(llm, CanStreamTogether) and llm.streams_together):
        return complete_each(llm, prompts, params)
    written = Drained[Completion](mended_pieces(llm, prompts[0], params[0], next(iter(menders))))
    deque(written, maxlen=0)
    return [written.value]


def _ended(completion: Completion, mender: Mender) -> Completion:
    """The mender ended the text, not the limit of tokens."""
    return replace(completion, finish_reason="stop") if mender.done else completion


def _counted(llm: LLM, prompt: Prompt, text: str) -> Completion:
    prompt_tokens, whole = llm.count_tokens([prompt, [*prompt, Message(role="assistant", content=text)]])
    return Completion(text=text, prompt_tokens=prompt_tokens, completion_tokens=max(0, whole - prompt_tokens))


def cautious_tokens(texts: Sequence[str]) -> int:
    """An upper guess at the tokens of a prompt, made without a tokenizer: two characters each, 16 a turn."""
    return sum(len(text) // 2 + 16 for text in texts)
