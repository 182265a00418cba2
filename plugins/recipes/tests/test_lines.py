"""Step-back, sub-questions and tool queries: what they share is tested with multi_query."""

from __future__ import annotations

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.types import Query
from rag.stages import REFORMULATORS
from ragline_recipes.reformulate.lines import LinesReformulator

DecomposeReformulator = REFORMULATORS.get("decompose")
StepBackReformulator = REFORMULATORS.get("step_back")
ToolQueryReformulator = REFORMULATORS.get("tool_query")


ALL = [StepBackReformulator, DecomposeReformulator, ToolQueryReformulator]


def made(reformulator: LinesReformulator) -> list[Query]:
    return reformulator.reformulate([Query(qid="q", text="book a trip")])


@pytest.mark.parametrize(("component", "most"), list(zip(ALL, (1, 4, 8), strict=True)))
def test_the_query_comes_first_and_no_more_than_n_follow(component: type[LinesReformulator], most: int) -> None:
    llm = ScriptedLLM(replies=("\n".join(f"{n}. need {n}" for n in range(1, 20)),))
    found = made(component(llm=llm))  # type: ignore[call-arg]
    assert [query.text for query in found] == ["book a trip", *(f"need {n}" for n in range(1, most + 1))]
    assert {query.qid for query in found} == {"q"}
    assert {query.asked for query in found} == {"book a trip"}
    assert found[0].outcome.kind == "ok"


@pytest.mark.parametrize("component", ALL)
@pytest.mark.parametrize("reply", ["", "Book a trip!", "<think>hm", "Here they are:\n\n"])
def test_a_reply_without_a_query_of_its_own_leaves_the_asked_one(
    component: type[LinesReformulator], reply: str
) -> None:
    [query] = made(component(llm=ScriptedLLM(replies=(reply,)), keep_original=False))  # type: ignore[call-arg]
    assert (query.text, query.original, query.outcome.kind) == ("book a trip", None, "fallback")


def test_one_tool_or_one_part_is_no_repair() -> None:
    for component in (DecomposeReformulator, ToolQueryReformulator):
        found = made(component(llm=ScriptedLLM(replies=("finds train connections",))))
        assert [query.text for query in found] == ["book a trip", "finds train connections"]
        assert found[0].outcome.kind == "ok"


def test_a_request_too_long_for_the_model_is_kept_and_said_so() -> None:
    llm = ScriptedLLM(context_window=300)
    long, _, _ = ToolQueryReformulator(llm=llm, max_tokens=8).reformulate(
        [Query(qid="l", text="x " * 400), Query(qid="s", text="short"), Query(qid="t", text="short")]
    )
    assert long.outcome.kind == "fallback"
    assert {name: n for name, n in long.outcome.counts.items() if n} == {"missing": 1, "too_long": 1}
    assert llm.batches == [2]


@pytest.mark.parametrize(
    ("reply", "limit", "queries", "kind"),
    [
        ("one need\nanother need\na third that goes on", 6, ["one need", "another need"], "repaired"),
        ("one need that goes on and on", 5, ["one need that goes on"], "repaired"),  # half a query is more than none
        ("one need\nanother need\nonce more\na fourth need", 8, ["one need", "another need", "once more"], "ok"),
    ],
)
def test_the_line_that_a_limit_cuts_is_no_query_where_there_is_another(
    reply: str, limit: int, queries: list[str], kind: str
) -> None:
    llm = ScriptedLLM(replies=(reply,))
    first, *others = made(ToolQueryReformulator(llm=llm, n=3, max_tokens=limit))
    assert [query.text for query in others] == queries
    assert (first.outcome.kind, first.outcome.counts["cut_off"], first.outcome.counts[kind]) == (kind, 1, 1)
