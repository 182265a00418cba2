"""Which of two answers is preferred, from what was said of them in both orders. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
