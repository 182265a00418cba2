"""Which questions a gate stops, and when there is none."""

from __future__ import annotations

import random

from rag.evaluate import Gate
from ragline_train.calibration.fitting import KEPT, Signals, fit_gate


def drawn(n: int, *, seed: int = 0) -> tuple[list[Signals], list[bool]]:
    """A signal that is higher by two spreads where the answer is right, and one that says nothing."""
    chance = random.Random(seed)
    right = [chance.random() < 0.5 for _ in range(n)]
    return [{"tells": chance.gauss(2.0 * good, 1), "noise": chance.gauss(0, 1)} for good in right], right


def stopped(gate: Gate, rows: list[Signals], right: list[bool], *, that_are: bool) -> float:
    of = [row for row, good in zip(rows, right, strict=True) if good is that_are]
    return sum(not gate(row) for row in of) / len(of)


def test_wrong_ones_are_stopped_and_of_right_ones_hardly_more_than_is_said() -> None:
    rows, right = drawn(200)
    gate = fit_gate(rows, right, node="context")
    assert gate is not None
    others, truth = drawn(2000, seed=1)
    assert stopped(gate, others, truth, that_are=True) <= 1 - KEPT + 0.05
    assert stopped(gate, others, truth, that_are=False) >= 0.3


def test_there_is_none_where_too_few_were_right_or_wrong() -> None:
    rows, right = drawn(100)
    assert fit_gate(rows, [True] * 100, node="context") is None
    assert fit_gate(rows, [False] * 91 + [True] * 9, node="context") is None
    assert fit_gate(rows[:15], right[:15], node="context") is None


def test_there_is_none_where_it_would_stop_nothing() -> None:
    assert fit_gate([{"same": 1.0}] * 40, [True, False] * 20, node="context") is None
