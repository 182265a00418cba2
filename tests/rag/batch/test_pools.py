"""A graph cut into pools gives what it gives whole, whatever travels between them by pickle."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.batch.pools import advanced, begun, lightened, pools_of
from rag.core.report import RunResult
from rag.core.types import Completion, Document, Prompt, Query, Ranking, SamplingParams
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.answer_lines import answer_lines, failure_lines
from rerankers import RERANKERS
from tests.rag.graph.parts import BadWords
from tests.small_index import small_index

GRAPH: dict[str, Any] = {
    "version": 1,
    "models": {"small": {"use": "llm.scripted", "with": {"replies": ["It is so [1]."]}}},
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "in": "query", "k": 6},
        "short": {"use": "retrieve.bm25", "in": "query", "k": 2},
        "fused": {"use": "fuse.rrf", "in": ["bm25", "short"], "k": 6},
        "ranked": {"use": "rerank.listwise", "in": "fused", "k": 4, "with": {"llm": "small"}},
        "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "small", "max_tokens": 120}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small", "max_tokens": 8}},
    },
    "output": "answer",
}
CLOSED: dict[str, Any] = {
    "version": 1,
    "models": GRAPH["models"],
    "nodes": {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "small", "max_tokens": 8}}},
    "output": "answer",
}
WORDS = ["leave", "bicycle", "laptop", "warranty", "signatures", "train"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> Path:
    return small_index(tmp_path_factory.mktemp("pools"), documents)


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    RERANKERS.add("test_bad_words", BadWords)
    yield
    del RERANKERS._table["test_bad_words"]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def questions() -> list[Query]:
    return [Query(qid=f"q{i}", text=f"When is the {word} number {i}?") for i, word in enumerate(WORDS)]


def through_pools(pipeline: Pipeline, queries: Sequence[Query], threads: ThreadPoolExecutor) -> RunResult:
    result = begun(queries)
    pools = pools_of(pipeline.graph.up_to(pipeline.graph.output))
    for nodes in pools.values():
        result = advanced(pickle.loads(pickle.dumps(result)), nodes, threads=lambda: threads)
    return result


def lines(result: RunResult) -> list[dict[str, Any]]:
    """What would be committed, without what may differ between two runs."""
    keys = {query.qid: query.qid for query in result.queries}
    made = [*answer_lines(result, keys), *failure_lines(result.failures, keys)]
    return [{name: value for name, value in line.items() if name != "cost"} for line in made]


def test_every_node_is_in_the_pool_of_its_stage_or_behind_what_it_reads(index: Path) -> None:
    with load_pipeline(GRAPH, index=index) as pipeline:
        pools = pools_of(pipeline.graph.up_to("answer"))
    assert {pool: {node.name for node in nodes} for pool, nodes in pools.items()} == {
        "retrieve": {"bm25", "short", "fused"},
        "rerank": {"ranked", "context"},
        "generate": {"answer"},
    }
    with load_pipeline(CLOSED) as pipeline:
        assert list(pools_of(pipeline.graph.up_to("answer"))) == ["generate"]


@pytest.mark.parametrize("graph", [GRAPH, CLOSED], ids=["reranked", "closed"])
def test_the_pools_give_the_lines_of_a_whole_run(
    graph: dict[str, Any], index: Path, threads: ThreadPoolExecutor
) -> None:
    with load_pipeline(graph, index=index) as pipeline:
        cut, whole = through_pools(pipeline, questions(), threads), pipeline.run(questions())
    assert lines(cut) == lines(whole)
    assert len(lines(cut)) == len(WORDS)
    assert [(n.name, n.n_in, n.n_out, n.usage.calls) for n in cut.nodes] == [
        (n.name, n.n_in, n.n_out, n.usage.calls) for n in whole.nodes
    ]


class Choosy(ScriptedLLM):
    """Fails at prompts that hold a word."""

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        if any("bad" in turn.content for prompt in prompts for turn in prompt):
            raise RuntimeError("cannot answer this")
        return super().complete(prompts, params)


@pytest.mark.parametrize("node", ["ranked", "answer"])
def test_a_question_that_fails_in_one_pool_goes_no_further(node: str, index: Path, threads: ThreadPoolExecutor) -> None:
    nodes = {**GRAPH["nodes"], "ranked": {"use": "rerank.test_bad_words", "in": "fused", "k": 4}}
    asked = [*questions(), Query(qid="q9", text="Which leave is bad?")]
    with load_pipeline({**GRAPH, "nodes": nodes if node == "ranked" else GRAPH["nodes"]}, index=index) as pipeline:
        pipeline.graph.parts["answer"].llm = Choosy(replies=("It is so [1].",))
        cut, whole = through_pools(pipeline, asked, threads), pipeline.run(asked)
    assert lines(cut) == lines(whole)
    [failure] = cut.failures
    assert (failure.qid, failure.node, failure.cause) == ("q9", node, None)
    assert [answer.status for answer in cut.answers] == [*["answered"] * len(WORDS), "failed"]


def test_texts_that_no_later_node_reads_stay_behind_and_the_lines_are_the_same(
    index: Path, threads: ThreadPoolExecutor
) -> None:
    with load_pipeline(GRAPH, index=index) as pipeline:
        first, *later = pools_of(pipeline.graph.up_to("answer")).values()
        searched = advanced(begun(questions()), first, threads=lambda: threads)
        light = lightened(searched, still_read={"fused"})
        assert texts(light.records["bm25"]) == {""}
        assert "" not in texts(light.records["fused"])
        for nodes in later:
            searched = advanced(searched, nodes, threads=lambda: threads)
            light = advanced(light, nodes, threads=lambda: threads)
    assert lines(light) == lines(searched)


def texts(rankings: Sequence[Ranking]) -> set[str]:
    return {hit.document.text for ranking in rankings for hit in ranking.hits}


def test_stages_stand_in_the_order_of_the_graph_whichever_branch_is_done_first(index: Path) -> None:
    with load_pipeline(GRAPH, index=index) as pipeline:
        result = pipeline.run(questions())
        turned = RunResult(
            queries=result.queries,
            outputs=result.outputs,
            records=dict(reversed(result.records.items())),
            nodes=result.nodes,
            failures=(),
            seconds=0.0,
        )
    names = [list(line["stages"]) for line in lines(turned)]
    assert names == [["bm25", "short", "fused", "ranked"]] * len(WORDS)
