from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import rag.graph
from rag.core.errors import ContractError, MissingModel, SpecError, StageError
from rag.core.types import Outcome, Query, Ranking, ScoredDocument
from rag.graph.build import build
from rag.graph.check import check
from rag.graph.load import load_spec
from rag.graph.rewire import with_run
from rag.graph.spec import GraphSpec
from rag.graph.wiring import MOST_HINTS
from rag.pipeline import Pipeline, raise_failure
from tests.rag.graph.parts import CORPUS, FixedRetriever


def pipeline(nodes: dict[str, Any], output: str) -> Pipeline:
    return Pipeline(build(load_spec({"version": 1, "nodes": nodes, "output": output})))


def two_legs(**extra: Any) -> dict[str, Any]:
    return {
        "one": {"use": "retrieve.test_fixed", "k": 8},
        "two": {"use": "retrieve.test_fixed", "k": 8, "with": {"first": 5, **extra}},
        "both": {"use": "fuse.rrf", "in": ["one", "two"], "k": 8},
        "best": {"use": "rerank.test_bad_words", "in": "both", "k": 8},
    }


def test_outputs_come_in_query_order_with_the_node_as_source() -> None:
    result = pipeline(two_legs(), "best").run(["alpha", "beta"])
    assert [r.query.text for r in result.rankings] == ["alpha", "beta"]
    assert [r.source for r in result.records["one"]] == ["one", "one"]
    assert {report.name for report in result.nodes} == {"one", "two", "both", "best"}
    assert next(r for r in result.nodes if r.name == "one").usage.calls == 2
    assert next(r for r in result.nodes if r.name == "best").counts == {"mended": 4}


def test_a_failing_item_is_recorded_and_the_batch_goes_on() -> None:
    texts = ["fine", "bad one", "good", "nice", "bad two"]
    result = pipeline(two_legs(), "best").run(texts)
    assert [len(r.hits) for r in result.rankings] == [8, 0, 8, 8, 0]
    assert [(f.qid, f.node) for f in result.failures] == [("2", "best"), ("5", "best")]
    assert "RuntimeError: cannot rank this" in result.failures[0].error
    assert [r.outcome.kind for r in result.rankings] == [
        "repaired",
        "failed",
        "repaired",
        "repaired",
        "failed",
    ]


def test_a_single_failure_is_raised_with_its_cause() -> None:
    pipe = pipeline(two_legs(), "best")
    with pytest.raises(StageError, match=r"node 'best' \(rerank.test_bad_words\) failed at qid '1'") as caught:
        pipe.search("bad")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_independent_branches_run_at_the_same_time_and_shared_ones_once() -> None:
    nodes = {
        "shared": {"use": "reformulate.test_two"},
        "one": {"use": "retrieve.test_fixed", "in": "shared", "k": 4, "with": {"meets": True}},
        "two": {"use": "retrieve.test_fixed", "in": "shared", "k": 4, "with": {"meets": True}},
        "both": {"use": "fuse.rrf", "in": ["one", "two"], "k": 8},
    }
    pipe = pipeline(nodes, "both")
    result = pipe.run(["alpha"])  # fails where one leg waits for the other's end
    assert next(r for r in result.nodes if r.name == "shared").n_out == 2
    assert pipe.graph.parts["one"].batches == [2]
    pipe.close()


def test_an_error_in_one_branch_stops_the_run_and_leaves_no_thread_working() -> None:
    before = set(threading.enumerate())
    pipe = pipeline(two_legs(), "best")

    def broken(queries: Sequence[Query], *, k: int) -> list[Ranking]:
        raise MissingModel("no such model")

    nodes = [replace(n, work=broken) if n.name == "two" else n for n in pipe.graph.nodes]
    pipe.graph = replace(pipe.graph, nodes=tuple(nodes))
    with pytest.raises(MissingModel):
        pipe.run(["alpha"])
    pipe.close()
    assert not set(threading.enumerate()) - before


def test_two_queries_of_one_qid_are_refused() -> None:
    twins = [Query(qid="same", text="a"), Query(qid="same", text="b")]
    with pytest.raises(ContractError, match="qid 'same'"):
        pipeline(two_legs(), "best").run(twins)


def test_an_empty_batch_gives_an_empty_result() -> None:
    result = pipeline(two_legs(), "best").run([])
    assert result.outputs == ()
    assert result.failures == ()


def test_a_long_list_goes_through_in_batches_and_reports_add_up() -> None:
    pipe = pipeline(two_legs(), "best")
    result = pipe.run([f"q{i}" for i in range(10)], batch=4)
    assert pipe.graph.parts["one"].batches == [4, 4, 2]
    assert len(result.outputs) == 10
    assert next(r for r in result.nodes if r.name == "both").n_in == 20


def test_k_replaces_that_of_the_asked_node_alone() -> None:
    pipe = pipeline(two_legs(), "best")
    assert len(pipe.search("alpha", k=3).hits) == 3
    assert len(pipe.run(["alpha"], to="one", k=2).rankings[0].hits) == 2
    with pytest.raises(SpecError, match="k must be at least 1"):
        pipe.search("alpha", k=0)
    with pytest.raises(SpecError, match="no node 'three'"):
        pipe.run(["alpha"], to="three")


HITS = FixedRetriever().retrieve([Query(qid="1", text="x")], k=8)[0].hits
BROKEN = {
    "invents": (
        lambda r: (ScoredDocument(document=replace(CORPUS[0], doc_id="new"), score=9.0), *r.hits[1:]),
        "not given",
    ),
    "repeats": (lambda r: (r.hits[0], r.hits[0]), "twice"),
    "loses": (lambda r: r.hits[1:], "lost 1 documents"),
    "nan": (lambda r: (replace(r.hits[0], score=float("nan")), *r.hits[1:]), "nan"),
    "infinite": (lambda r: (replace(r.hits[0], score=float("inf")), *r.hits[1:]), "inf"),
    "disordered": (lambda r: r.hits[::-1], "not in score order"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_reranker_that_breaks_its_protocol_is_found_out(case: str) -> None:
    change, message = BROKEN[case]
    pipe = pipeline(two_legs(), "best")

    def broken(rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        return [replace(r, hits=change(r)) for r in rankings]

    nodes = [replace(n, work=broken) if n.name == "best" else n for n in pipe.graph.nodes]
    pipe.graph = replace(pipe.graph, nodes=tuple(nodes))
    result = pipe.run(["alpha"])
    assert "ContractError" in result.failures[0].error
    assert message in result.failures[0].error
    with pytest.raises(StageError):
        raise_failure(result)


@pytest.mark.parametrize("declared", [("folded",), ()])
def test_a_reranker_may_leave_out_what_it_declares_and_counts(declared: tuple[str, ...]) -> None:
    pipe = pipeline(two_legs(), "best")

    def folding(rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        return [replace(r, hits=r.hits[:-1], outcome=Outcome(counts={"folded": 1})) for r in rankings]

    nodes = [replace(n, work=folding, leaves_out=declared) if n.name == "best" else n for n in pipe.graph.nodes]
    pipe.graph = replace(pipe.graph, nodes=tuple(nodes))
    assert bool(pipe.run(["alpha"]).failures) is not bool(declared)


def test_a_wrong_number_of_records_is_found_out() -> None:
    pipe = pipeline({"one": {"use": "retrieve.test_fixed", "k": 3}}, "one")
    nodes = [replace(n, work=lambda queries, k: []) for n in pipe.graph.nodes]
    pipe.graph = replace(pipe.graph, nodes=tuple(nodes))
    assert "returned 0 records for 1" in pipe.run(["alpha"]).failures[0].error


def chain(length: int) -> dict[str, Any]:
    """A graph in which so many rerankers stand behind each other before the answer is written."""
    names = ["found", *(f"r{i}" for i in range(length))]
    ranked = {name: {"use": "rerank.identity", "in": before, "k": 3} for before, name in pairwise(names)}
    return {
        "version": 1,
        "models": {"m": {"use": "llm.scripted", "with": {"replies": ["So [1]."]}}},
        "nodes": {
            "found": {"use": "retrieve.test_fixed", "k": 3},
            **ranked,
            "context": {"use": "assemble.token_budget", "in": names[-1], "with": {"llm": "m"}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "m"}},
        },
        "output": "answer",
    }


def steps(work: Callable[[], object]) -> int:
    """How many instructions of `rag.graph` a call takes: unlike seconds, the same each time."""
    counted = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal counted
        if not frame.f_code.co_filename.startswith(str(Path(rag.graph.__file__).parent)):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return counted


def test_a_graph_of_twice_the_length_is_checked_and_run_in_twice_the_steps() -> None:
    made = {n: Pipeline(build(load_spec(chain(n)))) for n in (100, 200)}
    checked = {n: steps(partial(check, made[n].spec)) for n in made}
    ran = {n: steps(partial(made[n].ask, "alpha")) for n in made}
    assert checked[200] < 2.1 * checked[100]
    assert ran[200] < 2.1 * ran[100]


def test_a_run_takes_the_place_of_a_long_first_stage_in_as_many_steps() -> None:
    graphs = {
        n: GraphSpec.model_validate(
            {
                "version": 1,
                "output": "n0",
                "nodes": {f"n{i}": {"use": "fuse.rrf", "in": f"n{i + 1}", "k": 3} for i in range(n)},
            }
        )
        for n in (200, 400)
    }
    taken = {n: steps(partial(with_run, graph, "r.trec")) for n, graph in graphs.items()}
    assert taken[400] < 2.1 * taken[200]


def test_of_very_many_unknown_inputs_only_some_are_compared_with_all_names() -> None:
    nodes = {f"n{i}": {"use": "rerank.identity", "in": f"m{i}", "k": 3} for i in range(200)}
    problems = check(load_spec({"version": 1, "nodes": nodes, "output": "n0"})).problems
    assert len(problems) == 200
    assert sum("Known: " in problem for problem in problems) == MOST_HINTS
    assert problems[0].endswith(" and 141 more.")
    assert problems[-1].endswith("no node 'm199' to take input from.")
