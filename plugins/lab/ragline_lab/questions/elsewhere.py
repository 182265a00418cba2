"""Where questions come from that the own corpus does not answer: another index, or questions about something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.evaluate import Item, holds, load_beir, read_items
from rag.files import data_sha256
from rag.indexes import Index, is_index, open_index
from ragline_lab.questions.legs_alone import Legs
from ragline_lab.questions.lines import Line
from ragline_lab.questions.writer import QuestionWriter

_WORDS_DEPTH, _MODEL_DEPTH = 10, 3
"""Passages of each leg that are searched for the words of an answer; passages that the model is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Another corpus to ask about, or questions as they are. `index` is None where there are questions, and the other way."""

    name: str
    index: Index | None = None
    items: tuple[Item, ...] = ()

    @property
    def identity(self) -> str:
        asked = [[item.qid, item.question, list(item.answers)] for item in self.items]
        return data_sha256(asked) if self.index is None else self.index.identity

    def require_checkable(self, writer: QuestionWriter) -> None:
        """Raise SpecError unless something can say that the own corpus does not answer these questions."""
        bare = sum(not item.answers for item in self.items)
        if bare and not writer.can_weigh:
            raise SpecError(
                f"{bare:,} questions of '{self.name}' come without an answer, and this model cannot say whether passages "
                "are enough (it cannot choose from a closed list): nothing would show that the own corpus does not answer "
                "them. Give questions with answers, another index, or a model that can choose"
            )

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "identity": self.identity}


def open_elsewhere(said: str) -> Elsewhere:
    """An index, a BEIR-layout folder with queries or qa.jsonl, or a qa.jsonl itself.

    Raises:
        SpecError: it is none of these, or holds no question.
    """
    place = Path(said)
    if is_index(said):
        return Elsewhere(name=said, index=open_index(said))
    if place.is_file():
        items = tuple(read_items(place))
    else:
        dataset = load_beir(place)
        queries = (Item(qid=query.qid, question=query.text) for query in dataset.queries)
        items = tuple(queries if dataset.qa is None else dataset.items())
    if not items:
        raise SpecError(f"'{said}' holds no question")
    return Elsewhere(name=said, items=items)


def lines_of(items: Sequence[Item]) -> list[Line]:
    """Questions of others as lines. Those without an answer have an empty one."""
    return [
        Line(
            side="other",
            source=item.qid,
            document=item.qid,
            question=item.question,
            answer=item.answers[0] if item.answers else "",
        )
        for item in items
    ]


def answered_here(lines: Sequence[Line], legs: Legs, writer: QuestionWriter) -> list[str]:
    """`answered here` for each question that the own corpus seems to answer, else an empty text.

    By words: one of the first ten passages of a leg has those of the answer, which are often short, so some are dropped
    for nothing. By the model, where it can choose: the first three passages are enough.
    """
    found = legs.best([line.question for line in lines], k=_WORDS_DEPTH)
    here = [
        bool(line.answer) and any(holds(passage.full_text, line.answer) for passage in some)
        for line, some in zip(lines, found, strict=True)
    ]
    if writer.can_weigh:
        asked = [place for place, held in enumerate(here) if not held and found[place]]
        enough = writer.says_enough(
            [lines[place].question for place in asked], [found[place][:_MODEL_DEPTH] for place in asked]
        )
        for place, each in zip(asked, enough, strict=True):
            here[place] = each
    return ["answered here" if each else "" for each in here]
