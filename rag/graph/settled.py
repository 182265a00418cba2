"""Answers that stand before a generator is asked: it is asked for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rag.core.protocols import CanStreamAnswers
from rag.core.types import Answer, AnswerDelta, Context


def answered(generate: Callable[[Sequence[Any]], list[Answer]], records: Sequence[Any]) -> list[Answer]:
    """One answer per record, in order: of a context that has one that, else what a generator makes of it."""
    found = [_settled(record) for record in records]
    left = [record for record, answer in zip(records, found, strict=True) if answer is None]
    if len(left) == len(records):
        return generate(records)
    made = generate(left) if left else []
    if len(made) != len(left):
        return made  # which whoever runs the node tells
    rest = iter(made)
    return [answer if answer is not None else next(rest) for answer in found]


def streamed(part: CanStreamAnswers, record: Any) -> Iterator[AnswerDelta]:
    """The same of one record, piece by piece."""
    answer = _settled(record)
    if answer is None:
        return part.stream(record)
    return iter((AnswerDelta(text=answer.text), AnswerDelta(answer=answer)))


def _settled(record: Any) -> Answer | None:
    if not isinstance(record, Context) or record.settled is None:
        return None
    settled = record.settled
    return Answer(
        query=record.query,
        text=settled.text,
        context=record,
        citations=settled.citations,
        status=settled.status,
        outcome=settled.outcome,
    )
