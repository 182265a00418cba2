"""The report in words: lines, and rows of texts for the tables of a terminal, of Markdown and of the page."""

from __future__ import annotations

from collections.abc import Sequence

from rag.evaluate import Compared, Interval
from ragline_lab.robust.questions import Verdict
from ragline_lab.robust.report import COSTS, RobustReport, Row, is_better, measure_name
from ragline_lab.robust.ways import WAYS

_BARE: tuple[Verdict, ...] = ("refused", "other", "failed")
"""Shares that are told without an interval, in the order of the columns."""
_HEAD = (
    "model",
    "way",
    "documents",
    "questions",
    "skipped",
    "right",
    "beside zero",
    "misled",
    *_BARE,
    "shown",
    "calls",
    "read",
    "written",
)


def asked_told(report: RobustReport) -> str:
    said = f"{report.name}: {report.questions:,} questions, {report.without_documents:,} of them without documents"
    return said + (f"; no question has documents for: {', '.join(report.never)}" if report.never else "")


def ways_told(report: RobustReport) -> list[str]:
    """The built-in ways that were tried."""
    there = dict.fromkeys(row.tried.way for row in report.rows)
    return [f"{way}: {WAYS[way][2]}" for way in there if way in WAYS]


def defences_told(report: RobustReport) -> list[str]:
    """What each defence gains and costs, a line each."""
    return [
        f"{model}, {way} beside {report.baseline}: "
        + "; ".join(f"{one.measure} {_difference(one)}" for one in compared)
        for model, ways in report.defences.items()
        for way, compared in ways.items()
    ]


def rows_of(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Shares of questions, and means of a question: all rows, below the names of the columns."""
    return [_HEAD, *map(_cells, rows)]


def defence_rows(report: RobustReport, model: str) -> list[tuple[str, ...]]:
    """A row for each defence of a model, below the names of the columns: what it costs, then what it gains."""
    defences = report.defences.get(model, {})
    if not defences:
        return []
    names = [one.measure for one in next(iter(defences.values()))]
    costs = {measure_name(*each) for each in COSTS}
    head = ["defence", *(f"{'costs' if name in costs else 'gains'}: {name}" for name in names)]
    return [tuple(head), *((way, *map(_difference, compared)) for way, compared in defences.items())]


def _cells(row: Row) -> tuple[str, ...]:
    shares, tried = row.shares, row.tried
    zero = row.zero
    beside = "" if zero is None else f"{zero.test.difference:+.2f} [{zero.test.low:+.2f}, {zero.test.high:+.2f}]"
    return (
        tried.model,
        tried.way,
        tried.context,
        f"{len(tried.lines):,}",
        f"{tried.skipped:,}",
        _share(shares["right"], row.right),
        beside,
        _share(shares["misled"], row.misled),
        *(f"{shares[verdict]:.2f}" for verdict in _BARE),
        f"{row.shown:.1f} of {row.given:.1f}",
        f"{row.calls:.2f}",
        f"{row.read:,.0f}",
        f"{row.written:,.1f}",
    )


def _difference(compared: Compared) -> str:
    """A difference with its interval, its p, and what may be said of it."""
    better = is_better(compared)
    said = "not shown to differ" if better is None else "better" if better else "worse"
    test = compared.test
    return f"{test.difference:+.2f} [{test.low:+.2f}, {test.high:+.2f}] p = {compared.p:.3f}, {said}"


def _share(value: float, interval: Interval) -> str:
    return f"{value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
