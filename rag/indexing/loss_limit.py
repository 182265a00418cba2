"""What a build would lose of the index before, and the most that it may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.core.errors import IndexProblem
from retrievers.index.sources import SourceRecord

MOST_LOSSES = 10
"""Files that a refusal names; the rest is one number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A file that gives fewer documents than it gave the index before, or is not in it any more."""

    name: str
    n_documents: int


class TooMuchLost(IndexProblem):
    """A build would lose more than it may. `losses`: what would go; `n_before`: documents of the index as it is."""

    def __init__(self, message: str, *, losses: tuple[Loss, ...], n_before: int) -> None:
        self.losses, self.n_before = losses, n_before
        super().__init__(message)


def losses_of(before: Sequence[SourceRecord], after: Sequence[SourceRecord]) -> tuple[Loss, ...]:
    """What each file gives less."""
    left = {record.name: record.n_documents for record in after}
    losses = [
        Loss(name=record.name, n_documents=record.n_documents - left.get(record.name, 0))
        for record in before
        if left.get(record.name, 0) < record.n_documents
    ]
    return tuple(losses)


def require_kept(losses: tuple[Loss, ...], n_before: int, *, most_lost: float, name: str) -> None:
    """Return if the share of documents that would go is at most `most_lost`.

    Raises:
        TooMuchLost: it is not.
    """
    n_lost = sum(loss.n_documents for loss in losses)
    if n_lost <= most_lost * n_before:
        return
    lines = [f"  {loss.n_documents:,} of {loss.name}" for loss in losses[:MOST_LOSSES]]
    if len(losses) > MOST_LOSSES:
        lines.append(f"  and {len(losses) - MOST_LOSSES:,} other files")
    raise TooMuchLost(
        "\n".join(
            [
                f"{n_lost:,} of the {n_before:,} documents of index '{name}' would go:",
                *lines,
                "Nothing was changed. If that is meant, say so: --yes, or most_lost=1.0 in Python",
            ]
        ),
        losses=losses,
        n_before=n_before,
    )
