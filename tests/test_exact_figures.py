"""Numbers of pages whose place in the lines is said: they are what the words come to, and words that fit nothing are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from docs import exact
from docs.exact import is_said, value_of
from docs.page_figures import numbers
from rag.core.errors import SpecError

LINES: list[dict[str, Any]] = [
    {"set": "cacm", "way": "a model:ours", "nDCG@10": 0.5, "to": {"low": -0.1}, "s": 0.0021, "commit": "0123456789ab"},
    {"set": "cacm", "way": "a model:ours", "nDCG@10": 0.6, "to": {"low": 0.1}, "s": 0.0042, "commit": "0123456789ab"},
    {"set": "cosqa", "way": "plain", "nDCG@10": 0.2, "to": {"low": 0.3}, "s": 0.0012, "commit": "0123456789ab"},
    {"set": "cosqa", "way": "plain", "nDCG@10": 0.9, "to": {"low": 0.3}, "s": 0.0012, "commit": "0123456789ab+"},
    {"set": "time", "qid": "1", "way": "a", "right": True, "rank": 3, "commit": "0123456789ab"},
    {"set": "time", "qid": "2", "way": "a", "right": True, "rank": None, "commit": "0123456789ab"},
    {"set": "time", "qid": "2", "way": "b", "right": False, "commit": "0123456789ab"},
    {"of": {"a/b": {"x": 1.0, "y": 4.0}, "c": {"x": 3.0, "y": 4.0}}, "told": "-0.12 [-0.20, -0.04]", "commit": "0123456789ab"},
]  # fmt: skip


@pytest.fixture(autouse=True)
def _lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    value_of.cache_clear()
    monkeypatch.setattr(exact, "lines_of", lambda name: LINES)
    yield
    value_of.cache_clear()


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("some set=cacm: nDCG@10", 0.6),  # the last that fits
        ("some set=cosqa: nDCG@10", 0.2),  # and of committed code, where there is such a line
        ("some way=a model:ours set=cacm: to/low", 0.1),
        ("some to/low=-0.1: nDCG@10", 0.5),
        ("mean some set=cacm|cosqa: nDCG@10", (0.5 + 0.6 + 0.2) / 3),
        ("least some: to/low", -0.1),
        ("most some: to/low", 0.3),
        ("count some: to/low", 3),
        ("mean some: nDCG@10 less to/low", (0.6 + 0.5 - 0.1) / 3),
        ("some set=cacm: nDCG@10 to to/low", 6.0),
        ("mean some: of/*/x", 2.0),
        ("mean some: of/*/y less of/*/x", 2.0),
        ("some: told", -0.12),
        ("low some: of/*/y", 4.0),
        ("mean some way=a: right", 1.0),
        ("mean some way=a minus way=b: right", 1.0),  # of the one question that both have
        ("count some set=time way=a minus way=b: right", 1),
        ("count some set=time way=a: right", 2),
        ("mean some way=a: rank<=3", 0.5),  # one has no rank
        ("mean some way=a: rank<=2", 0.0),
        ("count some set=time way=a beside way=b: right", 1),  # of the question that b was asked too
        ("mean some way=a minus way=b beside way=b: right", 1.0),
    ],
)
def test_words_come_to_what_lines_have(said: str, value: float) -> None:
    assert value_of(said) == pytest.approx(value)


@pytest.mark.parametrize(
    ("written", "said", "is_so"),
    [
        (".60", "some set=cacm: nDCG@10", True),
        (".61", "some set=cacm: nDCG@10", False),
        ("60%", "some set=cacm: nDCG@10", True),
        ("4.2", "some set=cacm: s", True),  # milliseconds
        ("4.3", "some set=cacm: s", False),
        (".12", "some: told", True),  # "loses .12"
        ("+.12", "some: told", False),
    ],
)
def test_a_number_is_held_to_its_last_digit(written: str, said: str, is_so: bool) -> None:
    (number,) = numbers(written)
    assert is_said(number, said) is is_so


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("some set=cacm nDCG@10", "not of the form"),
        ("worst some: nDCG@10", "not of the form"),
        ("some set=poquad: nDCG@10", "none of 0 lines"),
        ("some set=cacm: MAP", "none of 2 lines"),
    ],
)
def test_words_that_fit_nothing_are_told(said: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        value_of(said)
