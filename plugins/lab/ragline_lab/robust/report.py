"""What came of every way on every context: shares with intervals, and each defence beside the undefended writer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from rag.evaluate import Compared, Evaluation, Interval, compare_runs, mean_interval
from ragline_lab.robust.questions import CONTEXTS, VERDICTS, ZERO, Verdict
from ragline_lab.robust.work import Line

LEVEL = 0.05
"""A difference is called one from below this p, corrected for all comparisons with the same baseline."""

COSTS: tuple[tuple[Verdict, str], ...] = (("right", "right"),)
"""What a defence may lose: verdict and context."""
GAINS: tuple[tuple[Verdict, str], ...] = (
    ("right", "mixed"),
    ("misled", "mixed"),
    ("misled", "misleading"),
    ("refused", "irrelevant"),
)
"""What it is for. Fewer misled answers are a gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One way of one model on one context. `skipped`: questions that lack documents for it. `lines`: qid -> what came."""

    model: str
    way: str
    context: str
    skipped: int
    lines: Mapping[str, Line] = field(hash=False)

    def values(self, verdict: Verdict) -> dict[str, float]:
        """qid -> 1 where that is its verdict, else 0."""
        return {qid: float(line.verdict == verdict) for qid, line in self.lines.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way on one context, as shares of its questions and means of a question. `zero`: beside no documents at all.

    `right`, `misled`: with their 95% intervals. `zero` is over the same questions; None for the closed book itself, and where
    there is none.
    """

    tried: Tried
    shares: Mapping[Verdict, float] = field(hash=False)
    right: Interval
    misled: Interval
    given: float
    shown: float
    calls: float
    read: float
    written: float
    zero: Compared | None

    def as_dict(self) -> dict[str, Any]:
        tried = self.tried
        return {
            "model": tried.model,
            "way": tried.way,
            "context": tried.context,
            "questions": len(tried.lines),
            "skipped": tried.skipped,
            "shares": dict(self.shares),
            "right": {"low": self.right.low, "high": self.right.high},
            "misled": {"low": self.misled.low, "high": self.misled.high},
            "per_question": {
                "documents": self.given,
                "shown": self.shown,
                "calls": self.calls,
                "read": self.read,
                "written": self.written,
            },
            "calls": sum(line.calls for line in tried.lines.values()),
            "beside_zero": None if self.zero is None else self.zero.as_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustReport:
    """What came of all ways. `rows`: of what was tried on at least one question, in the order of models, ways and contexts.

    `without_documents`: questions that have none at all. `never`: contexts that no question has documents for. `defences`:
    model -> way -> its measures beside the undefended way, p corrected for all of the model; a measure is called "verdict,
    context", such as "right, mixed".
    """

    name: str
    questions: int
    without_documents: int
    baseline: str
    rows: tuple[Row, ...]
    never: tuple[str, ...]
    defences: Mapping[str, Mapping[str, Sequence[Compared]]] = field(hash=False)
    command: tuple[str, ...] = ()

    @property
    def models(self) -> list[str]:
        """Those that wrote, in order."""
        return list(dict.fromkeys(row.tried.model for row in self.rows))

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        return {
            "set": self.name,
            "questions": self.questions,
            "without_documents": self.without_documents,
            "never": list(self.never),
            "baseline": self.baseline,
            "rows": [row.as_dict() for row in self.rows],
            "defences": {
                model: {way: [one.as_dict() for one in compared] for way, compared in ways.items()}
                for model, ways in self.defences.items()
            },
            **({"command": list(self.command)} if self.command else {}),
        }


def report_of(
    tried: Sequence[Tried],
    *,
    name: str,
    questions: int,
    without_documents: int,
    baseline: str,
    command: Sequence[str] = (),
) -> RobustReport:
    """The report on what was tried; ways of one model are compared with its undefended one and with its closed book."""
    by_model: dict[str, list[Tried]] = {}
    for each in tried:
        by_model.setdefault(each.model, []).append(each)
    zero = {model: _beside_zero(of_model) for model, of_model in by_model.items()}
    return RobustReport(
        name=name,
        questions=questions,
        without_documents=without_documents,
        baseline=baseline,
        rows=tuple(_row(each, zero[each.model].get((each.way, each.context))) for each in tried if each.lines),
        never=tuple(name for name in CONTEXTS if not any(each.lines for each in tried if each.context == name)),
        defences={model: _defences(of_model, baseline) for model, of_model in by_model.items()},
        command=tuple(command),
    )


def measure_name(verdict: str, context: str) -> str:
    """What a share is called where ways are compared."""
    return f"{verdict}, {context}"


def is_better(compared: Compared) -> bool | None:
    """Whether a difference is for the better; None where it is not shown to be one."""
    test = compared.test
    if compared.p >= LEVEL or test.low <= 0 <= test.high:
        return None
    return (test.difference < 0) is compared.measure.startswith("misled")


def _defences(tried: Sequence[Tried], baseline: str) -> dict[str, list[Compared]]:
    """Way -> its measures beside the undefended one; empty where that one, or another, is not there."""
    named = {measure_name(*each): each for each in (*COSTS, *GAINS)}
    runs = {way: _evaluation(of_way, named) for way, of_way in _reading(tried).items()}
    before = runs.pop(baseline, None)
    if before is None or not runs or not before.per_query:
        return {}
    return compare_runs(before, runs, measures=list(before.per_query))


def _beside_zero(tried: Sequence[Tried]) -> dict[tuple[str, str], Compared]:
    """(way, context) -> right answers beside those of the closed book, on the same questions."""
    named: dict[str, tuple[Verdict, str]] = {measure_name("right", name): ("right", name) for name in CONTEXTS}
    runs = {way: _evaluation(of_way, named) for way, of_way in _reading(tried).items()}
    closed = next((each.values("right") for each in tried if each.context == ZERO), None)
    if closed is None or not runs:
        return {}
    asked = next(iter(runs.values())).per_query
    before = _measured({name: {qid: closed[qid] for qid in values} for name, values in asked.items()})
    if not before.per_query:
        return {}
    compared = compare_runs(before, runs, measures=list(before.per_query))
    return {(way, named[one.measure][1]): one for way, found in compared.items() for one in found}


def _reading(tried: Sequence[Tried]) -> dict[str, list[Tried]]:
    """Way -> what was tried of it with documents."""
    ways: dict[str, list[Tried]] = {}
    for each in tried:
        if each.context != ZERO:
            ways.setdefault(each.way, []).append(each)
    return ways


def _row(tried: Tried, zero: Compared | None) -> Row:
    lines = list(tried.lines.values())
    return Row(
        tried=tried,
        shares={verdict: fmean(tried.values(verdict).values()) for verdict in VERDICTS},
        right=mean_interval(list(tried.values("right").values())),
        misled=mean_interval(list(tried.values("misled").values())),
        given=fmean(line.given for line in lines),
        shown=fmean(line.shown for line in lines),
        calls=fmean(line.calls for line in lines),
        read=fmean(line.read for line in lines),
        written=fmean(line.written for line in lines),
        zero=zero,
    )


def _evaluation(tried: Iterable[Tried], named: Mapping[str, tuple[Verdict, str]]) -> Evaluation:
    """The shares of one way, by name; of contexts that no question has there are none."""
    by_context = {each.context: each for each in tried}
    return _measured(
        {
            name: by_context[context].values(verdict)
            for name, (verdict, context) in named.items()
            if context in by_context
        }
    )


def _measured(values: Mapping[str, dict[str, float]]) -> Evaluation:
    kept = {name: of for name, of in values.items() if of}
    n = len({qid for of in kept.values() for qid in of})
    return Evaluation(measures={name: fmean(of.values()) for name, of in kept.items()}, per_query=kept, n_queries=n)
