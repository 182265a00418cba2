"""What a node's report makes of its records: shares, rates and costs per query, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.report import NodeReport, node_report
from rag.core.types import Outcome, Query, Ranking, Usage
from rag.stages import REFORMULATORS

MultiQueryReformulator = REFORMULATORS.get("multi_query")


def reformulated(*replies: str) -> NodeReport:
    queries = [Query(qid=str(at), text=f"text {at}") for at in range(len(replies))]
    made = MultiQueryReformulator(llm=ScriptedLLM(replies=replies)).reformulate(queries)
    return node_report("rewrite", "reformulate.multi_query", 2.0, len(queries), made)


def test_variants_do_not_thin_out_the_share_of_bad_outcomes() -> None:
    report = reformulated("a\nb", "a\nb\nc")  # one of two replies is short: seven records, one of them repaired
    assert (report.n_in, report.n_out, report.outcomes["repaired"]) == (2, 7, 1)
    assert report.bad_share == 0.5


def test_rankings_that_become_one_do_not_thin_it_out_either() -> None:
    bad = Ranking(query=Query(qid="1", text="x"), outcome=Outcome(kind="fallback"))
    assert node_report("both", "fuse.rrf", 0.1, 4, [bad, replace(bad, outcome=Outcome())]).bad_share == 0.5
    assert node_report("both", "fuse.rrf", 0.1, 4, []).bad_share == 0.0


def test_rates_are_of_calls_and_costs_are_per_query() -> None:
    report = reformulated("a\nb", "a\nb\nc") + reformulated("", "a\nb\nc")
    assert report.rates == {"ok": 0.5, "repaired": 0.25, "fallback": 0.25}
    assert (report.n_queries, report.per_query["seconds"], report.per_query["calls"]) == (4, 1.0, 1.0)
    assert report.per_query["new_tokens"] == pytest.approx((2 + 3 + 0 + 3) / 4)
    told = report.as_dict()
    assert told["rates"] == report.rates
    assert told["per_query"]["prompt_tokens"] == pytest.approx(report.usage.prompt_tokens / 4, abs=1e-5)


def test_a_rate_of_nought_is_said_and_one_that_is_not_known_is_not() -> None:
    clean = reformulated("a\nb\nc") + reformulated("a\nb\nc")
    assert clean.rates == {"ok": 1.0, "repaired": 0.0, "fallback": 0.0}
    asked = Query(qid="1", text="x", usage=Usage(calls=3))
    assert node_report("n", "reformulate.mine", 0.1, 1, [asked]).rates == {}
