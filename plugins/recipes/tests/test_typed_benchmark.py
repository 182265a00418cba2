"""What BioASQ would take of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.recipes.benchmarks.typed import problems, track_form
from rag import Answer, Context, Query

QUERY = Query(qid="1", text="?")


def answer(text: str, **more: Any) -> Answer:
    return Answer(query=QUERY, text=text, context=Context(query=QUERY), **more)


def form(kind: str, exact: str, ideal: str = "A sentence.", **more: Any) -> dict[str, Any]:
    return track_form({"id": "1", "type": kind}, answer(exact, **more), answer(ideal))


def test_each_type_in_its_form() -> None:
    assert form("yesno", "yes")["exact_answer"] == "yes"
    assert form("list", "- a\n- b")["exact_answer"] == [["a"], ["b"]]
    assert "exact_answer" not in form("summary", "A sentence.")
    for kind, exact in (("yesno", "no"), ("factoid", "- a"), ("list", "- a\n- b"), ("summary", "A sentence.")):
        assert list(problems(form(kind, exact))) == []


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        (form("yesno", "maybe"), ["neither yes nor no"]),
        (form("factoid", "I don't know.", status="no_answer"), ["no entry, or too many"]),
        (form("factoid", "\n".join("- a" for _ in range(6))), ["no entry, or too many"]),
        (form("list", f"- {'a' * 101}"), ["an entry that is empty or too long"]),
        (form("summary", "", ideal="w " * 201), ["ideal answer of 201 words"]),
        (form("summary", "", ideal=""), ["ideal answer of 0 words"]),
    ],
)
def test_what_it_would_not_take(made: dict[str, Any], wrong: list[str]) -> None:
    assert list(problems(made)) == wrong
