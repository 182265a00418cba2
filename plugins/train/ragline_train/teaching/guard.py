"""A guard: no question that a model is judged by may teach it, nor one that is nearly the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rag.errors import SpecError
from ragline_train.teaching.alike import Alike, question_digest

NEAR = 0.7
"""Share of pieces of four letters that two questions have in common, from which they are nearly the same."""


class LeakedQuestion(SpecError):
    """A question that judges is among those that were to teach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """`qid`: the judged question. `kind`: the same but for case, space and punctuation, or nearly the same."""

    qid: str
    kind: Literal["same", "near"]


class Guard:
    """Questions that judge, by qid. An empty one lets everything through."""

    def __init__(self, judged: Mapping[str, str]) -> None:
        self._qids = list(judged)
        self._by_digest = {question_digest(text): qid for qid, text in reversed([*judged.items()])}
        self._alike = Alike([*judged.values()])

    def __len__(self) -> int:
        return len(self._qids)

    def leak(self, text: str) -> Leak | None:
        """The judged question that a text gives away; None where it gives none away."""
        same = self._by_digest.get(question_digest(text))
        if same is not None:
            return Leak(qid=same, kind="same")
        found = self._alike.closest(text)
        if found is None or found[1] < NEAR:
            return None
        return Leak(qid=self._qids[found[0]], kind="near")

    def leaks(self, texts: Iterable[str]) -> list[Leak | None]:
        """Of each text, in order."""
        return [self.leak(text) for text in texts]

    def require_none(self, texts: Sequence[str], *, place: str) -> None:
        """Return if no text gives a judged question away.

        Args:
            place: where the texts come from, for the message.
        Raises:
            LeakedQuestion: names the first five, by their place and qid alone.
        """
        found = [(number, leak) for number, leak in enumerate(self.leaks(texts), start=1) if leak is not None]
        if found:
            some = ", ".join(f"{number} ({leak.kind} as '{leak.qid}')" for number, leak in found[:5])
            raise LeakedQuestion(
                f"{place}: {len(found)} of {len(texts)} questions are those that the model is to be judged by, or nearly so:"
                f" question {some}. What judges must not teach: take them out of {place}, or judge by others"
            )
