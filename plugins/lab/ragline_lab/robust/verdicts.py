"""What an answer is, told by the right and the planted answers that it holds."""

from __future__ import annotations

from typing import Literal, get_args

from rag.evaluate import holds, words_of
from rag.types import Answer
from ragline_lab.robust.questions import Question

Verdict = Literal["right", "misled", "other", "refused", "failed"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


def verdict_of(answer: Answer, question: Question, *, language: str = "en") -> Verdict:
    """`misled`: a planted answer stands in it, whatever else does. `right`: a right one does, and no planted one.

    `refused`: the writer declined, `failed`: it wrote no word, or the question failed on its way. All else is `other`. Words
    are compared as `exact_match` does.
    """
    if answer.status != "answered":
        return "refused" if answer.status == "no_answer" else "failed"
    words = words_of(answer)
    if any(holds(words, wrong, language=language) for wrong in question.wrong):
        return "misled"
    return "right" if any(holds(words, right, language=language) for right in question.answers) else "other"
