"""Data whose right verdicts are known: pairs of a right and a wrong answer, and references of different questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any

from rag.evaluate import Item
from rag.writing import REFUSAL, sentences
from ragline_lab.judge.answers import MOST_PASSAGES
from ragline_lab.judge.asking import Known

LEAST_REFERENCE = 8
"""Words of a reference from which on it has facts to tell apart."""
DECLINED = f"{REFUSAL}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question with a right and a wrong answer. Which one is shown first is told by the id, evenly."""

    qid: str
    known: Known
    right: str
    wrong: str

    @property
    def gold(self) -> str:
        """Where the right one stands: first or second."""
        return "first" if digest(self.qid)[0] % 2 else "second"

    @property
    def shown(self) -> tuple[Known, str, str]:
        """What the judge is asked."""
        one, other = (self.right, self.wrong) if self.gold == "first" else (self.wrong, self.right)
        return self.known, one, other


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A question, its reference answer, and that of another question."""

    qid: str
    question: str
    own: str
    other: str


def digest(text: str) -> bytes:
    """What a fixed random order goes by."""
    return blake2b(text.encode("utf-8", "surrogatepass")).digest()


def pairs_of(items: Sequence[Item], *, limit: int | None = None) -> list[Pair]:
    """The first pairs of a data set, in the order of its items.

    Pairs are those of `wrong_answers`. Where no item has some, and some cannot be answered, a pair is a reference answer
    beside a refusal: the refusal is right where there is no answer, and there are as many pairs of one kind as of the other.
    """
    wrong = [pair for item in items if (pair := _by_wrong_answer(item))]
    if wrong or all(item.answerable for item in items):
        return wrong[:limit]
    both = [pair for item in items if (pair := _by_refusal(item))]
    refused = [pair for pair in both if pair.right == DECLINED]
    answered = [pair for pair in both if pair.right != DECLINED]
    half = min(len(refused), len(answered), *([limit // 2] if limit else []))
    return [pair for pairs in zip(answered[:half], refused[:half], strict=True) for pair in pairs]


def references_of(items: Sequence[Item], *, limit: int | None = None) -> list[Reference]:
    """The first questions with long references, each beside the reference of the next one that has another."""
    long = [
        item for item in items if item.answerable and item.answers and len(item.answers[0].split()) >= LEAST_REFERENCE
    ]
    return [
        Reference(qid=item.qid, question=item.question, own=item.answers[0], other=other.answers[0])
        for item, other in zip(long, long[1:] + long[:1], strict=True)
        if item.answers[0] != other.answers[0]
    ][:limit]


def _by_wrong_answer(item: Item) -> Pair | None:
    wrong = [str(each) for each in _list(item.more.get("wrong_answers")) if str(each) not in item.answers]
    if not (item.answers and wrong):
        return None
    return Pair(qid=item.qid, known=_known(item), right=item.answers[0], wrong=wrong[0])


def _by_refusal(item: Item) -> Pair | None:
    """Where there is no reference, the first sentence of the passage stands beside the refusal: it is no answer."""
    known = _known(item)
    if item.answerable:
        return Pair(qid=item.qid, known=known, right=item.answers[0], wrong=DECLINED) if item.answers else None
    said = [text[start:end] for text in known.texts[:1] for start, end in islice(sentences(text), 1)]
    return Pair(qid=item.qid, known=known, right=DECLINED, wrong=said[0]) if said else None


def _known(item: Item) -> Known:
    """The question with its documents, in an order that says nothing of which are right."""
    documents = [each for name in ("documents", "contexts") for each in _list(item.more.get(name))]
    texts = [str(each.get("text", "")) if isinstance(each, dict) else str(each) for each in documents]
    return Known(question=item.question, texts=tuple(sorted(texts, key=digest)[:MOST_PASSAGES]))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
