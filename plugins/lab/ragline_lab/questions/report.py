"""What came of making a set of questions: how many are kept, why the others are not, and what that means for the set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ragline_lab.questions.lines import REASONS, Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """One kind of questions. `looked_at`: passages or questions that were tried. `dropped`: reason -> how many.

    `gave_up`: whether so many in a row gave none that the rest was not tried.
    """

    wanted: int = 0
    kept: tuple[Line, ...] = ()
    looked_at: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict, hash=False)
    gave_up: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, without the questions."""
        return {
            "wanted": self.wanted,
            "kept": len(self.kept),
            "looked_at": self.looked_at,
            "dropped": {reason: self.dropped[reason] for reason in REASONS if reason in self.dropped},
            "gave_up": self.gave_up,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionsReport:
    """A set of questions about an index. `passages`: of the index; `short` of them were passed over.

    `elsewhere`: where questions without an answer come from, if from anywhere. `legs`: those that look for each passage.
    """

    index: str
    model: str
    out: str
    depth: int
    legs: tuple[str, ...]
    compares_meanings: bool
    passages: int
    short: int
    own: Yield
    elsewhere: str | None
    others: Yield

    def found_by(self) -> dict[str, int]:
        """Legs -> how many passages of kept questions these legs find, and no others."""
        counted = Counter(" + ".join(line.ranks) for line in self.own.kept)
        return dict(counted.most_common())

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        return {
            "index": self.index,
            "model": self.model,
            "out": self.out,
            "passages": self.passages,
            "too_short": self.short,
            "depth": self.depth,
            "legs": list(self.legs),
            "found_by": self.found_by(),
            "answerable": self.own.as_dict(),
            "unanswerable": {"from": self.elsewhere, **self.others.as_dict()},
        }

    def lines(self) -> list[str]:
        told = [f"{len(self.own.kept):,} questions of {self.own.wanted:,} wanted, from {self._looked_at(self.own)}"]
        told += _dropped(self.own)
        told.append(
            f"found within {self.depth} by: {', '.join(f'{legs} {n:,}' for legs, n in self.found_by().items())}"
        )
        if lost := self.own.dropped.get("not found", 0):
            told.append(
                f"a bias to know of: {lost:,} were dropped because none of {', '.join(self.legs)} finds the passage. What "
                "finds more than these legs cannot show it on this set"
            )
        if not self.compares_meanings:
            told.append("repetitions were found by words alone: the index has no dense leg to compare meanings by")
        if self.elsewhere is None:
            told.append("no questions without an answer: they are asked of another corpus (--unanswerable-from)")
        else:
            told.append(
                f"{len(self.others.kept):,} questions without an answer of {self.others.wanted:,} wanted, from "
                f"{self.others.looked_at:,} of '{self.elsewhere}'"
            )
            told += _dropped(self.others)
        return told

    def warnings(self) -> list[str]:
        """What is less than was asked for, and why."""
        kinds = (("questions", self.own), ("questions without an answer", self.others))
        return [
            f"{len(some.kept):,} of {some.wanted:,} {what}: {_why(some)}"
            for what, some in kinds
            if len(some.kept) < some.wanted
        ]

    def nothing_kept(self) -> str:
        """The message where no question was kept."""
        reasons = "; ".join(f"{n:,}: {REASONS[reason]}" for reason, n in self.own.as_dict()["dropped"].items())
        return (
            f"no question about index '{self.index}' was kept of {self._looked_at(self.own)}: {reasons}. See what the model "
            "wrote in lines.jsonl, and take one that writes better"
        )

    def _looked_at(self, some: Yield) -> str:
        return f"{some.looked_at:,} of {self.passages:,} passages ({self.short:,} are too short)"


def _dropped(some: Yield) -> list[str]:
    return [f"  {n:>6,}  {REASONS[reason]}" for reason, n in some.as_dict()["dropped"].items()]


def _why(some: Yield) -> str:
    repeated = some.dropped.get("same words", 0) + some.dropped.get("same meaning", 0)
    if some.gave_up:
        most = max(some.dropped, key=lambda reason: some.dropped[reason])
        return f"too many in a row gave none, mostly since {REASONS[most]}"
    if 2 * repeated > some.looked_at:
        return f"the model repeats itself: {repeated:,} of {some.looked_at:,} were asked before"
    return "there are no more passages or questions to draw from"
