"""What a model is asked while questions are made: to write them, to answer them, and whether passages are enough."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import prompts
from rag.evaluate import holds, token_f1
from rag.protocols import LLM, ChoosingLLM
from rag.types import Document, SamplingParams
from rag.writing import (
    defused,
    first_words,
    fitted,
    in_one_line,
    lacking,
    log_odds,
    numbered,
    parse_passage,
    parse_question,
    says,
    whole_reply,
    without_reasoning,
)
from ragline_lab.questions.words import added

WRITTEN, ANSWERED, ENOUGH = "question_written", "answer_passage", "answer_enough"
"""Prompts: to write a question, to answer one from a passage, and whether passages answer one."""

_WORDS = 200
"""Words of a passage that are shown."""
_QUESTION, _ANSWER = SamplingParams(max_tokens=96), SamplingParams(max_tokens=32)
_LEAST_WORDS = 3
"""Words of a question."""
_AGREE = 0.5
"""Token F1 from which on two answers are the same."""
_ANSWER_LABEL = re.compile(r"^[\s*#>-]*(?:short\s+)?answer\**\s*[:：]\**", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a model wrote about a passage; `question` and `answer` are empty where they could not be read."""

    reply: str
    question: str = ""
    answer: str = ""


class QuestionWriter:
    """Writes questions about passages and answers them, a batch a call.

    Passages are data: no line of theirs can open another part of the prompt.
    """

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._written, self._answered, self._enough = map(prompts.load, (WRITTEN, ANSWERED, ENOUGH))
        self.can_weigh = not lacking(llm, ["choose"])
        """Whether it can say if passages are enough without writing."""

    @property
    def prompt_hashes(self) -> dict[str, str]:
        """Prompt -> sha256 of its file."""
        return {each.source: each.sha256 for each in (self._written, self._answered, self._enough)}

    def write(self, passages: Sequence[Document]) -> list[Written]:
        """A question with its answer for each passage, in order."""
        renders = [
            lambda words, passage=passage: self._written.render(passage=_shown(passage, words)) for passage in passages
        ]
        asked = [
            one.prompt for one in fitted(self._llm, renders, words=_WORDS, rooms=[_QUESTION.max_tokens] * len(renders))
        ]
        replies = self._llm.complete(asked, _QUESTION)
        return [parse_written(whole_reply(prompt, reply)) for prompt, reply in zip(asked, replies, strict=True)]

    def agrees(self, questions: Sequence[str], answers: Sequence[str], passages: Sequence[Document]) -> list[bool]:
        """Whether the model, asked each question with its passage alone, answers what it is held against.

        Two answers agree if one holds the other's words, or their token F1 is 0.5 or more. A refusal agrees with nothing.
        """
        renders = [
            lambda words, passage=passage, question=question: self._answered.render(
                passage=_shown(passage, words), question=in_one_line(question)
            )
            for question, passage in zip(questions, passages, strict=True)
        ]
        asked = [
            one.prompt for one in fitted(self._llm, renders, words=_WORDS, rooms=[_ANSWER.max_tokens] * len(renders))
        ]
        replies = self._llm.complete(asked, _ANSWER)
        return [
            not says(reply.text, self._answered.refusal) and _same(parse_passage(reply.text), answer)
            for reply, answer in zip(replies, answers, strict=True)
        ]

    def says_enough(self, questions: Sequence[str], passages: Sequence[Sequence[Document]]) -> list[bool]:
        """Whether the model finds it likelier that these passages answer the question than that they do not."""
        renders = [
            lambda words, some=some, question=question: self._enough.render(
                passages="\n\n".join(
                    first_words(numbered(passage, number), words) for number, passage in enumerate(some, start=1)
                ),
                question=in_one_line(question),
            )
            for question, some in zip(questions, passages, strict=True)
        ]
        asked = [one.prompt for one in fitted(self._llm, renders, words=_WORDS, rooms=[8] * len(renders))]
        return [odds > 0 for odds, _ in log_odds(cast(ChoosingLLM, self._llm), asked)]


def parse_written(reply: str) -> Written:
    """The question and the answer of a reply, each behind its label; the first of each, and of the answer what it adds.

    >>> parse_written("Question: What are frames made of?\\n**Answer:** chromoly\\nQuestion: And forks?").answer
    'chromoly'
    >>> parse_written("Frames are made of steel.").question
    ''
    """
    text = without_reasoning(reply)
    label = _ANSWER_LABEL.search(text)
    if label is None:
        return Written(reply=reply)
    question = parse_question(text[: label.start()])
    answer = parse_passage(next((line for line in text[label.end() :].splitlines() if line.strip()), ""))
    if len(question.split()) < _LEAST_WORDS or not answer:
        return Written(reply=reply)
    return Written(reply=reply, question=question, answer=added(question, answer))


def _shown(passage: Document, words: int) -> str:
    title = in_one_line(passage.title)
    return first_words(defused(f"{title}\n{passage.text}" if title else passage.text), words)


def _same(one: str, other: str) -> bool:
    return holds(one, other) or holds(other, one) or token_f1(one, other) >= _AGREE
