"""What a judge said of one question, as a record and as a line of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rag.files import data_sha256
from ragline_lab.judge.nuggets import Nugget, Support, nugget_scores
from ragline_lab.judge.preference import Preference


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A question: its nuggets, what each answer gets for each of them, and the preference where there are two answers.

    `readable`: whether the judge wrote a list of nuggets, where it was asked for one. `unread`: facts that are no nuggets
    since the judge did not say how much they matter. `scores`: of each answer, measure -> value.
    """

    qid: str
    question: str
    readable: bool
    unread: int
    nuggets: tuple[Nugget, ...]
    supports: tuple[tuple[Support | None, ...], ...]
    scores: tuple[Mapping[str, float], ...] = field(hash=False)
    preferred: Preference | None = None

    def as_record(self) -> dict[str, Any]:
        """The same as plain data."""
        record = asdict(self)
        record["id"] = record.pop("qid")
        return {"key": key_of(self.qid), **record}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Judged:
        """What `as_record` gave; scores are worked out anew.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        nuggets = tuple(Nugget(text=each["text"], vital=each["vital"]) for each in record["nuggets"])
        supports = tuple(tuple(side) for side in record["supports"])
        preferred = record["preferred"]
        return cls(
            qid=record["id"],
            question=record["question"],
            readable=record["readable"],
            unread=record["unread"],
            nuggets=nuggets,
            supports=supports,
            scores=tuple(nugget_scores(nuggets, side) for side in supports),
            preferred=None if preferred is None else Preference(verdict=preferred["verdict"], why=preferred["why"]),
        )


def key_of(qid: str) -> str:
    """The key of a question's line."""
    return data_sha256([qid])
