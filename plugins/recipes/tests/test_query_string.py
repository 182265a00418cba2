"""Queries as models write them: what they ask for, and what is no query."""

from __future__ import annotations

import pytest

from ragline_recipes.query_string import parse_query_string

TEXT = "Aspirin lowers the risk of a second myocardial infarction in women."


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("aspirin", True),
        ("ASPIRINS", True),
        ("ibuprofen", False),
        ("ibuprofen aspirin", True),
        ("ibuprofen AND aspirin", False),
        ("ibuprofen OR aspirin AND women", True),
        ("(ibuprofen OR aspirin) AND men", False),
        ('"myocardial infarction"', True),
        ('"infarction myocardial"', False),
        ("myocardial-infarction", True),
        ("infarct*", True),
        ("infarct", False),
        ("aspirin NOT women", False),
        ("aspirin AND NOT children", True),
        ("aspirin -women", False),
        ("+aspirin +risk", True),
        ("title:aspirin^2.5 AND risk~1", True),
        ("((aspirin))", True),
    ],
)
def test_what_a_query_asks_of_a_text(query: str, holds: bool) -> None:
    found = parse_query_string(query)
    assert found is not None
    assert found.holds(TEXT) is holds


@pytest.mark.parametrize(
    "query",
    [
        "",
        "()",
        "(aspirin",
        "aspirin)",
        '"aspirin',
        "aspirin AND",
        "OR aspirin",
        "NOT aspirin",
        "AND",
        '""',
        "!!",
        "(" * 40 + "a" + ")" * 40,
        "a " * 400,
    ],
)
def test_what_is_no_query(query: str) -> None:
    assert parse_query_string(query) is None


def test_words_that_are_wanted_are_without_those_that_are_not() -> None:
    found = parse_query_string('("heart attack" OR infarct*) AND aspirin NOT children')
    assert found is not None
    assert list(found.wanted()) == ["heart", "attack", "infarct", "aspirin"]
