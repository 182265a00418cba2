"""Questions about a window of numbered passages, put to a model that writes their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import prompts
from rag.core.arguments import require_one_of, require_positive
from rag.core.completions import usage_of
from rag.core.in_step import Places, Shown
from rag.core.protocols import LLM
from rag.core.types import Message, Prompt
from rerankers.forms import numbers, written
from rerankers.passages import fitted, passage_text
from rerankers.permutation import parse_permutation
from rerankers.work import Work

Template = Literal["rankgpt", "lrl"]

_SPARE = 8  # tokens a reply may be longer than the bare permutation: a space here, an end of turn there


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How a template numbers its passages and what a reply looks like. `name` takes a number, `passage` also a text."""

    prompt: str
    name: str
    passage: str
    joint: str


_LAYOUTS: dict[str, _Layout] = {
    "rankgpt": _Layout(prompt="rank_listwise", name="[{}]", passage="[{}] {}", joint=" > "),
    "lrl": _Layout(prompt="rank_lrl", name="PASSAGE{}", passage='PASSAGE{} = "{}"', joint=", "),
}


class NumberJudge:
    """Answers questions of `rag.core.in_step` with the passages that the model lists, a step in one batch.

    The model writes greedily, held to the form of an answer if it can be (`rerankers.forms`). Whatever it writes, the
    answer is distinct places: `rerankers.permutation` mends it and the work's counts say how. Who asked knows where
    passages go that it left out.

    Args:
        template: rankgpt or lrl: how passages are numbered.
        prompt: with the variables passages, query and n. None: the template's own.
        max_words: words per passage.
        by: the component that asks.
    """

    def __init__(self, *, llm: LLM, template: Template, prompt: str | None, max_words: int, by: str) -> None:
        require_one_of(by, tuple(_LAYOUTS), template=template)
        require_positive(by, max_words=max_words)
        self._llm, self._layout, self._max_words = llm, _LAYOUTS[template], max_words
        self._prompt = prompts.load(prompt or self._layout.prompt)
        self._prompt.require("passages", "query", "n", by=by)

    def __call__(self, questions: Sequence[tuple[Work, Shown]]) -> list[Places]:
        """The places that each reply lists, best first; none if it names no passage."""
        started = perf_counter()
        # A reply needs no more room than its own window's permutation, but one limit serves the batch.
        room = self._reply_tokens(max(len(shown) for _, shown in questions))
        renders = [self._render(work, shown) for work, shown in questions]
        fits = fitted(self._llm, renders, words=self._max_words, rooms=[room] * len(renders))
        requests, layout = [one.prompt for one in fits], self._layout
        forms = [
            numbers(prompt, len(shown), name=layout.name, joint=layout.joint)
            for prompt, (_, shown) in zip(requests, questions, strict=True)
        ]
        completions = written(self._llm, requests, forms, max_tokens=room)
        seconds = (perf_counter() - started) / len(questions)
        answers: list[Places] = []
        for (work, shown), one, completion in zip(questions, fits, completions, strict=True):
            opening = one.prompt[-1].content if one.prompt[-1].role == "assistant" else ""
            order, report = parse_permutation(opening + completion.text, len(shown))
            work.note(
                "fallback" if report.fallback else "ok" if report.ok else "repaired",
                bad=f"passages of rank {', '.join(str(item + 1) for item in shown)}",
                unknown=report.unknown,
                repeated=report.repeated,
                missing=report.missing,
                cut_off=int(completion.finish_reason == "length"),
                shortened=int(one.shortened),
            )
            work.usage += usage_of(completion, seconds=seconds)
            answers.append(tuple(order[: len(shown) - report.missing]))
        return answers

    def _render(self, work: Work, shown: Shown) -> Callable[[int], Prompt]:
        def render(words: int) -> Prompt:
            texts = [passage_text(work.documents[item], words) for item in shown]
            lines = [self._layout.passage.format(number, text) for number, text in enumerate(texts, start=1)]
            query = work.ranking.query.text
            return self._prompt.render(passages="\n\n".join(lines), query=query, n=str(len(shown)))

        return render

    def _reply_tokens(self, n: int) -> int:
        """Tokens of the longest well-formed reply about `n` passages, and a few to spare."""
        reply = self._layout.joint.join(self._layout.name.format(number) for number in range(1, n + 1))
        full, empty = self._llm.count_tokens([[Message(role="user", content=text)] for text in (reply, "")])
        return full - empty + _SPARE
