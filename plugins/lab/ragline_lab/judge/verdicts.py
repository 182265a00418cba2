"""What a judge said of one question, as a record and as a line of a file, and what that is worth. Pure.

The form of nuggets is that of TREC's RAG track (Pradeep et al., arXiv 2411.09607): a nugget is a fact that is vital to an answer
or okay to have, and an answer supports it in whole, in part or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rag.files import data_sha256

Support = Literal["yes", "partly", "no"]
SUPPORTS: tuple[Support, ...] = ("yes", "partly", "no")

_WORTH: dict[Support, float] = {"yes": 1.0, "partly": 0.5, "no": 0.0}
_OKAY = 0.5
"""What an okay nugget weighs beside a vital one."""

VITAL_STRICT, WEIGHTED = "NuggetsVitalStrict", "NuggetsWeighted"
MEASURES = (VITAL_STRICT, WEIGHTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nugget:
    """A fact. `vital`: an answer must hold it; otherwise it is good to have."""

    text: str
    vital: bool


def nugget_scores(nuggets: Sequence[Nugget], supports: Sequence[Support | None]) -> dict[str, float]:
    """Measure -> value from 0 to 1. One that is not defined for these nuggets is not in it.

    Vital strict: the share of vital nuggets that are supported in whole. Weighted: a nugget in part counts half, an okay one
    half as much as a vital one, (sum over vital + half the sum over okay) / (vital + half the number of okay). A nugget
    whose support could not be read is left out of both.

    >>> facts = [Nugget(text="a", vital=True), Nugget(text="b", vital=True), Nugget(text="c", vital=False)]
    >>> nugget_scores(facts, ["yes", "partly", "partly"])
    {'NuggetsVitalStrict': 0.5, 'NuggetsWeighted': 0.7}
    """
    read = [(nugget, support) for nugget, support in zip(nuggets, supports, strict=True) if support is not None]
    vital = [_WORTH[support] for nugget, support in read if nugget.vital]
    okay = [_WORTH[support] for nugget, support in read if not nugget.vital]
    scores: dict[str, float] = {}
    if vital:
        scores[VITAL_STRICT] = sum(worth == 1.0 for worth in vital) / len(vital)
    if vital or okay:
        scores[WEIGHTED] = (sum(vital) + _OKAY * sum(okay)) / (len(vital) + _OKAY * len(okay))
    return scores


Verdict = Literal["first", "second", "tie", "unreadable"]
Why = Literal["", "same text", "order"]

PREFERRED = "Preferred"
"""The measure: 1 where the first is preferred, 0 where the second is, a half for a tie."""

WORTH: dict[Verdict, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}
"""What each verdict counts; one that could not be read counts nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """A verdict. `why` of a tie: both say the same, or the judge changed its mind with the order."""

    verdict: Verdict
    why: Why = ""


SAME = Preference(verdict="tie", why="same text")


def preference(forward: int | None, backward: int | None) -> Preference:
    """The verdict of two questions.

    Args:
        forward: place of the better one, the first shown first; None where that could not be read. `backward`: the same
            with the second shown first.

    >>> preference(0, 1).verdict, preference(0, 0).why, preference(None, 1).verdict
    ('first', 'order', 'unreadable')
    """
    if forward is None or backward is None:
        return Preference(verdict="unreadable")
    if forward == backward:
        return Preference(verdict="tie", why="order")
    return Preference(verdict="first" if forward == 0 else "second")


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
