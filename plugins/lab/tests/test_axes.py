from __future__ import annotations

from typing import Any

import pytest

from rag import SpecError
from ragline_lab.sweep.axes import Axis, grid, parse_axes, parse_axis


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("0.1:0.9:0.1", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ("10:30:10", (10, 20, 30)),
        ("1:2:0.75", (1.0, 1.75)),
        ("-1:1:1", (-1, 0, 1)),
        ("5:5:1", (5,)),
        ("1e-3:3e-3:1e-3", (0.001, 0.002, 0.003)),
        ("z_score,max", ("z_score", "max")),
        ("1, 2.5, true, null, x", (1, 2.5, True, None, "x")),
        ("small", ("small",)),
        ("hf:org/model", ("hf:org/model",)),
        ('["12:30", "a,b"]', ("12:30", "a,b")),
        ('{"bm25": 1, "dense": 2}', ({"bm25": 1, "dense": 2},)),
        ("[[1, 2], null]", ([1, 2], None)),
    ],
)
def test_values_are_ranges_lists_or_json(said: str, values: tuple[Any, ...]) -> None:
    axis = parse_axis(f"node.parameter={said}")
    assert axis == Axis(path="node.parameter", values=values)
    assert list(map(type, axis.values)) == list(map(type, values))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("fused.k", "is wanted"),
        ("=1,2", "is wanted"),
        ("fused.k=", "is wanted"),
        ("fused.k=[]", "it has no value, so the grid is empty"),
        ("fused.k=3:1:1", "ends before it begins, so the grid is empty"),
        ("fused.k=1:3:0", "must be above 0"),
        ("fused.k=1:3", "low:high:step is wanted"),
        ("fused.k=1:3:x", "low:high:step is wanted"),
        ("fused.k=1:1e999:1", "low:high:step is wanted"),
        ("fused.k=0:1e300:1e-300", "has more than 1,000 values"),
        ("fused.k=1,,2", "is empty"),
        ("fused.k=1,2,1", "the value 1 is given 2 times"),
        ('fused.k=["a"', "is not JSON"),
        ("fused.k=[NaN]", "is not JSON"),
        ("fused.k=" + "[" * 100_000, "is not JSON"),
    ],
    ids=range(15),
)
def test_what_cannot_be_read_is_told(said: str, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        parse_axis(said)


def test_the_grid_has_every_combination_and_the_last_parameter_changes_first() -> None:
    axes = parse_axes(["a.k=1,2", "b.norm=max,sum"])
    assert list(grid(axes)) == [
        {"a.k": 1, "b.norm": "max"},
        {"a.k": 1, "b.norm": "sum"},
        {"a.k": 2, "b.norm": "max"},
        {"a.k": 2, "b.norm": "sum"},
    ]


def test_a_grid_that_is_too_large_is_refused_with_its_size() -> None:
    with pytest.raises(SpecError, match=r"the grid has 1,001 settings \(7 x 11 x 13\), and at most 1,000"):
        parse_axes(["a.k=1:7:1", "b.k=1:11:1", "c.k=1:13:1"])
    assert len(list(grid(parse_axes(["a.k=1:10:1", "b.k=1:100:1"])))) == 1000


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ([], "a sweep needs a parameter"),
        (["a.k=1", "a.k=2"], "change one parameter"),
        (["f.weights.x=1", 'f.weights={"x": 1}'], "change one parameter"),
        (['f.weights={"x": 1}', "f.weights.x=1"], "changes a part of"),
    ],
)
def test_parameters_that_meet_are_refused(over: list[str], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        parse_axes(over)
