"""Does a figure reach what is asked of it? The figure may, while its interval leaves it open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["at_least", "at_most", "not_below"]
State = Literal["passed", "failed", "not shown"]

_WORDS: dict[Kind, str] = {
    "at_least": "at least",
    "at_most": "at most",
    "not_below": "not below the baseline by more than",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What is asked of a measure. `threshold`: of its mean; for `not_below` how far below the baseline it may be.

    `by`: whether the figure itself is asked, or the whole 95% interval.
    """

    measure: str
    kind: Kind
    threshold: float
    by: Literal["point", "interval"]

    @property
    def label(self) -> str:
        """The requirement in words; no two of a check are the same."""
        whole = "whole interval " if self.by == "interval" else ""
        return f"{self.measure}: {whole}{_WORDS[self.kind]} {self.threshold:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came out. `value` is the mean, or its difference to the baseline; `low` to `high` its 95% interval.

    `n`: queries that it is of. `is_open`: the interval includes the threshold. `note`: what is to be known beside the figure.
    """

    requirement: Requirement
    value: float
    low: float
    high: float
    n: int
    state: State
    is_open: bool
    note: str = ""

    @property
    def told(self) -> str:
        """Figure, interval, and what they mean together, in words."""
        what = "difference " if self.requirement.kind == "not_below" else ""
        sign = "+" if self.requirement.kind == "not_below" else ""
        text = f"{what}{self.value:{sign}.4f}, 95% [{self.low:{sign}.4f}, {self.high:{sign}.4f}] of {self.n:,}"
        parts = [
            text,
            *(["the interval includes the threshold"] if self.is_open else []),
            *([self.note] if self.note else []),
        ]
        return "; ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        asked = self.requirement
        return {
            "measure": asked.measure,
            "asked": asked.kind,
            "threshold": asked.threshold,
            "by": asked.by,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "queries": self.n,
            "state": self.state,
            "interval_includes_threshold": self.is_open,
            **({"note": self.note} if self.note else {}),
        }


def judge(requirement: Requirement, *, value: float, low: float, high: float, n: int) -> Verdict:
    """Hold a figure and its interval against a requirement.

    By `point`, `at_least` and `at_most` ask the figure alone, and `not_below` fails where the whole interval of the
    difference lies below what is allowed. By `interval` the whole interval has to keep to the threshold: where it includes
    it, that is not shown.

    Args:
        value: the mean; for `not_below` the difference to the baseline. `low`, `high`: its interval.
    """
    sign = -1.0 if requirement.kind == "at_most" else 1.0
    threshold = -requirement.threshold if requirement.kind == "not_below" else requirement.threshold
    point = sign * (value - threshold)
    worst, best = sorted((sign * (low - threshold), sign * (high - threshold)))
    if requirement.by == "interval":
        state: State = "passed" if worst >= 0 else "failed" if best < 0 else "not shown"
    elif requirement.kind == "not_below":
        state = "failed" if best < 0 else "passed"
    else:
        state = "passed" if point >= 0 else "failed"
    is_open = worst < 0 <= best
    return Verdict(requirement=requirement, value=value, low=low, high=high, n=n, state=state, is_open=is_open)
