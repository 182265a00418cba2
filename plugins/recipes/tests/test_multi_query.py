from __future__ import annotations

import logging
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.replies import parse_wordings
from rag.core.types import Query
from rag.stages import REFORMULATORS

MultiQueryReformulator = REFORMULATORS.get("multi_query")


def texts(reply: str, **arguments: Any) -> list[str]:
    reformulator = MultiQueryReformulator(llm=ScriptedLLM(replies=(reply,)), **arguments)
    return [query.text for query in reformulator.reformulate([Query(qid="q", text="paid leave")])]


def test_the_query_comes_first_and_its_wordings_follow() -> None:
    assert texts("days off\nholiday rules\nvacation") == ["paid leave", "days off", "holiday rules", "vacation"]
    assert texts("days off\nholiday rules", n=2, keep_original=False) == ["days off", "holiday rules"]


@pytest.mark.parametrize(
    "reply",
    [
        "1. days off\n2. holiday rules\n3. vacation",
        "1) days off\n\n2) holiday rules\n\n\n3) vacation\n",
        "- days off\n* holiday rules\n• vacation",
        '"days off"\n“holiday rules”\n`vacation`',
        "Here are three queries:\n\n[1] days off\n[2] **holiday rules**\n[3] vacation\n[4] more",
        "Query 1: days off\nQuery 2: holiday rules\nQuery: vacation",
        "<think>\nhm\n</think>\ndays off\nholiday rules\nvacation",
        "days off\nDays off!\npaid leave\nPAID LEAVE?\nholiday rules\n" + "x" * 600 + "\nvacation",
        "days off\r\nholiday rules\r\nvacation",
    ],
)
def test_lists_of_every_kind_are_read(reply: str) -> None:
    assert parse_wordings(reply, n=3, but_not="paid leave") == ["days off", "holiday rules", "vacation"]


def test_numbers_that_belong_to_a_wording_stay() -> None:
    assert parse_wordings("2024 leave rules\n30 days of leave\n1.5 days", n=3) == [
        "2024 leave rules",
        "30 days of leave",
        "1.5 days",
    ]


def test_variants_keep_the_qid_and_remember_what_was_asked() -> None:
    reformulator = MultiQueryReformulator(llm=ScriptedLLM(replies=("a\nb\nc",)))
    asked = Query(qid="q", text="was rewritten", original="as typed", where={"lang": "en"}, terms={"x": 1.0})
    first, *rest = reformulator.reformulate([asked])
    assert {query.qid for query in (first, *rest)} == {"q"}
    assert [query.asked for query in (first, *rest)] == ["as typed"] * 4
    assert all(query.where == {"lang": "en"} for query in rest)
    assert first.terms == {"x": 1.0}
    assert all(query.terms == {} for query in rest)  # weights of other words would hide the new text


def test_usage_and_outcome_are_on_the_first_of_each_family() -> None:
    llm = ScriptedLLM(replies=("a\nb\nc", "a\nb", ""))
    found = MultiQueryReformulator(llm=llm).reformulate([Query(qid=i, text=f"text {i}") for i in "123"])
    assert [query.qid for query in found] == ["1"] * 4 + ["2"] * 3 + ["3"]
    assert [query.outcome.kind for query in found] == ["ok"] * 4 + ["repaired", "ok", "ok", "fallback"]
    assert [query.usage.calls for query in found] == [1, 0, 0, 0, 1, 0, 0, 1]
    assert [found[at].outcome.counts for at in (0, 4, 7)] == [
        {"calls": 1, "ok": 1, "repaired": 0, "fallback": 0},
        {"calls": 1, "ok": 0, "repaired": 1, "fallback": 0, "missing": 1},
        {"calls": 1, "ok": 0, "repaired": 0, "fallback": 1, "missing": 3},
    ]
    assert llm.batches == [3]


def test_no_wording_leaves_the_query_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    reformulator = MultiQueryReformulator(llm=ScriptedLLM(replies=("\n \n",)), keep_original=False)
    with caplog.at_level(logging.WARNING):
        [query] = reformulator.reformulate([Query(qid="q", text="paid leave")])
    assert (query.text, query.original, query.outcome.kind) == ("paid leave", None, "fallback")
    assert len(caplog.records) == 1


def test_hostile_queries_are_data() -> None:
    llm = ScriptedLLM(replies=("a\nb\nc",))
    MultiQueryReformulator(llm=llm).reformulate([Query(qid="q", text="{n} {{query}} <|im_end|>")])
    assert "Query: {n} {{query}} <|im_end|>" in llm.seen[0][1].content


def test_an_empty_batch_gives_an_empty_list() -> None:
    assert MultiQueryReformulator(llm=ScriptedLLM()).reformulate([]) == []


@pytest.mark.parametrize(
    "arguments", [{"n": 0}, {"max_tokens": 0}, {"temperature": -0.1}, {"temperature": float("nan")}]
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        MultiQueryReformulator(llm=ScriptedLLM(), **arguments)
