"""What a judge is asked: facts of an answer, how much they matter, whether an answer holds them, which answer is better.

Questions, answers and what is known are data: each is put on one line, so none can look like another part of a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

import prompts
from rag.protocols import LLM, ChoosingLLM
from rag.types import Prompt, SamplingParams
from rag.writing import (
    choose_each,
    defused,
    first_words,
    fitted,
    folded,
    in_one_line,
    in_place,
    kept_forms,
    lacking,
    list_form,
    parse_list,
    without_reasoning,
)
from ragline_lab.judge.verdicts import SAME, SUPPORTS, Nugget, Preference, Support, preference
from ragline_lab.llms import NamedLLM

_WORDS = 250
"""Words of an answer, and of each text of what is known, that are shown."""
_TOKENS = 512
"""Of a list of nuggets."""
_IMPORTANCE = ("vital", "okay")
_SUPPORTS = ("Yes", "Partly", "No")
"""What the judge says, in the order of `SUPPORTS`."""
_NOTHING = "(nothing beside the question)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A question, and texts that are taken as true about it: reference answers, or passages."""

    question: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuggets:
    """The nuggets of a question, vital ones first. `unread`: facts whose importance the judge did not say; they are dropped.

    `readable`: whether the judge wrote a list at all.
    """

    nuggets: tuple[Nugget, ...] = ()
    unread: int = 0
    readable: bool = True


class Judge:
    """A model that judges, with the prompts that it is asked by."""

    def __init__(self, model: NamedLLM) -> None:
        self.name = model.name
        self._identity, self._llm = model.identity, model.llm
        names = ("nuggets", "nugget_vital", "nugget_support", "judge_pair")
        self._list, self._vital, self._support, self._pair = map(prompts.load, names)

    @property
    def identity(self) -> dict[str, Any]:
        """What its verdicts depend on: the model, and the sha256 of each prompt."""
        used = (self._list, self._vital, self._support, self._pair)
        return {"model": dict(self._identity), "prompts": {each.source: each.sha256 for each in used}}

    def nuggets(self, asked: Sequence[Known], *, n: int) -> list[Nuggets]:
        """At most `n` nuggets for each question, from what is known of it."""
        if not asked:
            return []
        renders = [
            lambda words, one=one: self._list.render(known=_told(one, words), question=_line(one.question), n=str(n))
            for one in asked
        ]
        requests = [one.prompt for one in fitted(self._llm, renders, words=_WORDS, rooms=[_TOKENS] * len(renders))]
        form = list_form(n) if "regex" in kept_forms(self._llm) else ""
        replies = self._llm.complete(requests, SamplingParams(max_tokens=_TOKENS, regex=form))
        lists = [parse_list(reply.text) for reply in replies]
        facts = [_distinct(some or [])[:n] for some in lists]
        weighed = iter(self._importance([(one, fact) for one, some in zip(asked, facts, strict=True) for fact in some]))
        return [
            _sorted([(fact, next(weighed)) for fact in of_one], readable=some is not None)
            for some, of_one in zip(lists, facts, strict=True)
        ]

    def _importance(self, facts: Sequence[tuple[Known, str]]) -> list[int | None]:
        renders = [
            lambda words, one=one, fact=fact: self._vital.render(
                question=_line(one.question), nugget=_line(first_words(fact, words))
            )
            for one, fact in facts
        ]
        return chosen_words(self._llm, renders, _IMPORTANCE, words=_WORDS)

    def supports(self, cases: Sequence[tuple[str, str, Nugget]]) -> list[Support | None]:
        """Whether an answer holds a nugget, for each question, answer and nugget; None where the judge did not say."""
        renders = [
            lambda words, question=question, answer=answer, nugget=nugget: self._support.render(
                question=_line(question), answer=_line(first_words(answer, words)), nugget=_line(nugget.text)
            )
            for question, answer, nugget in cases
        ]
        places = chosen_words(self._llm, renders, _SUPPORTS, words=_WORDS)
        return [None if place is None else SUPPORTS[place] for place in places]

    def prefers(self, cases: Sequence[tuple[Known, str, str]]) -> list[Preference]:
        """Which of two answers is better, asked in both orders. Equal texts are a tie without asking."""
        asked = [case for case in cases if folded(case[1]) != folded(case[2])]
        both = [self._ordered(asked), self._ordered([(known, other, one) for known, one, other in asked])]
        said = iter([preference(forward, backward) for forward, backward in zip(*both, strict=True)])
        return [SAME if folded(one) == folded(other) else next(said) for _, one, other in cases]

    def _ordered(self, cases: Sequence[tuple[Known, str, str]]) -> list[int | None]:
        renders = [
            lambda words, known=known, one=one, other=other: self._pair.render(
                known=_told(known, words),
                question=_line(known.question),
                one=_line(first_words(one, words)),
                other=_line(first_words(other, words)),
            )
            for known, one, other in cases
        ]
        return chosen_words(self._llm, renders, ("1", "2"), words=_WORDS)


def _told(one: Known, words: int) -> str:
    return "\n".join(f"- {_line(first_words(text, words))}" for text in one.texts) or _NOTHING


def _line(text: str) -> str:
    return in_one_line(defused(text))


def _distinct(facts: Sequence[str]) -> list[str]:
    """Each once, by its words, as it was first written."""
    by_words: dict[str, str] = {}
    for fact in facts:
        by_words.setdefault(folded(fact), fact)
    return list(by_words.values())


def _sorted(facts: Sequence[tuple[str, int | None]], *, readable: bool) -> Nuggets:
    read = [Nugget(text=fact, vital=place == 0) for fact, place in facts if place is not None]
    nuggets = tuple(sorted(read, key=lambda nugget: not nugget.vital))
    return Nuggets(nuggets=nuggets, unread=len(facts) - len(read), readable=readable)


_WORD_TOKENS = 8
_WORD = re.compile(r"\w+")


def chosen_words(
    llm: LLM, renders: Sequence[Callable[[int], Prompt]], choices: Sequence[str], *, words: int
) -> list[int | None]:
    """For each prompt the place of the word that the model says; None where it says none, or is not clear.

    Args:
        renders: what makes each prompt of a number of words per text; fewer are shown where a prompt would not fit.
        words: words per text at most.
    """
    if not renders:
        return []
    asked = [one.prompt for one in fitted(llm, renders, words=words, rooms=[_WORD_TOKENS] * len(renders))]
    if not lacking(llm, ["choose"]):
        rows = choose_each(cast(ChoosingLLM, llm), asked, in_place(asked, choices))
        return [int(np.argmax(row)) if np.isfinite(row).any() else None for row, _ in rows]
    said = tuple(in_place(asked, choices)) if "choices" in kept_forms(llm) else ()
    replies = llm.complete(asked, SamplingParams(max_tokens=_WORD_TOKENS, choices=said))
    return [read_choice(reply.text, choices) for reply in replies]


def read_choice(reply: str, choices: Sequence[str]) -> int | None:
    """The place of the only one of these words that a reply holds; None where it holds none, or several.

    >>> [read_choice(text, ("1", "2")) for text in ("2", "Answer 1.", "neither 1 nor 2", "both")]
    [1, 0, None, None]
    """
    folded = [choice.casefold() for choice in choices]
    held = {word for word in _WORD.findall(without_reasoning(reply).casefold()) if word in folded}
    return folded.index(held.pop()) if len(held) == 1 else None
