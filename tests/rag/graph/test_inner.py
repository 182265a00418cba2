"""Graphs inside graphs: checked before anything loads, run in batches of their own, folded into the outer run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from generators import GENERATORS
from rag.core.errors import SpecError
from rag.core.in_step import Ask, answered, tagged, together
from rag.core.protocols import LLM, Reranker, Retriever, Subgraph
from rag.core.report import RunResult, apart
from rag.core.types import Answer, Context, Document, Query, Ranking, SamplingParams, Usage
from rag.core.yaml_source import parse_yaml
from rag.graph.check import check
from rag.graph.draw import mermaid, svg
from rag.graph.load import load_spec
from rag.graph.schema import graph_schema
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.answer_lines import answer_lines
from rag.pipeline.identity import graph_identity
from rag.pipeline.load import successor
from rerankers import RERANKERS
from retrievers import RETRIEVERS
from retrievers.index.opening import open_index
from tests.small_index import small_index

Step = tuple[str, int]


class FollowUp:
    """Asks an inner graph again for each word of the question, a step a word, and answers with what it said.

    Args:
        answers: answers one word.
        rounds: most words.
    """

    def __init__(self, *, answers: Subgraph[Answer], rounds: int = 9) -> None:
        self.answers, self.rounds = answers, rounds
        self.batches: list[int] = []

    def generate(self, contexts: Sequence[Context]) -> list[Answer]:
        """One answer per context. All loops of a batch go in step."""
        loops = together([tagged(self._loop(context), context.qid) for context in contexts])
        queries = {context.qid: context.query for context in contexts}

        def ask(steps: list[tuple[str, str]]) -> list[Answer]:
            self.batches.append(len(steps))
            return self.answers.run([replace(queries[qid], text=word) for qid, word in steps])

        texts = answered(loops, ask)
        return [
            Answer(query=context.query, text=text, context=context, usage=Usage(calls=0))
            for context, text in zip(contexts, texts, strict=True)
        ]

    def _loop(self, context: Context) -> Ask[str, Answer, str]:
        said: list[str] = []
        for word in context.query.text.split()[: self.rounds]:
            [answer] = yield [word]
            said.append(answer.text or f"({answer.outcome.kind})")
        return " ".join(said)


class Widened:
    """What an inner retriever finds for the query and for each of its words.

    Args:
        inner: finds.
        second: orders what was found.
        llm: asked once per query, and not heard.
    """

    def __init__(self, *, inner: Retriever, second: Reranker, llm: LLM) -> None:
        self.inner, self.second, self.llm = inner, second, llm

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query."""
        [reply] = self.llm.complete([[]], SamplingParams())
        assert reply.text == "So."
        rankings = self.inner.retrieve([replace(q, text=w) for q in queries for w in q.text.split()], k=k)
        first = {ranking.qid: ranking for ranking in reversed(rankings)}
        ranked = self.second.rerank([first[query.qid] for query in queries], k=k)
        return [replace(ranking, usage=Usage(calls=1)) for ranking in ranked]


class Finder:
    """Finds nothing but fails on the word bad.

    Args:
        cost: calls of a query.
    """

    def __init__(self, *, cost: int = 1) -> None:
        self.cost = cost
        self.batches: list[int] = []

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """Empty rankings."""
        self.batches.append(len(queries))
        if any(query.text == "bad" for query in queries):
            raise RuntimeError("cannot find this")
        return [Ranking(query=q, usage=Usage(calls=self.cost, prompt_tokens=10)) for q in queries]


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    added: list[tuple[Any, str, type]] = [
        (GENERATORS, "test_follow_up", FollowUp),
        (RETRIEVERS, "test_widened", Widened),
        (RETRIEVERS, "test_finder", Finder),
    ]
    for table, name, component in added:
        table.add(name, component)
    yield
    for table, name, _ in added:
        del table._table[name]


LOOP = """
version: 1
models:
  small: {use: llm.scripted, with: {replies: ["So."]}}
graphs:
  word:
    nodes:
      found: {use: retrieve.test_finder, k: 3}
      context: {use: assemble.token_budget, in: found, with: {llm: small, max_tokens: 50}}
      said: {use: generate.cited, in: context, with: {llm: small}}
    output: said
nodes:
  found: {use: retrieve.test_finder, k: 3}
  context: {use: assemble.token_budget, in: found, with: {llm: small, max_tokens: 50}}
  answer: {use: generate.test_follow_up, in: context, with: {answers: word}}
output: answer
"""


def problems(text: str, path: Path) -> list[str]:
    path.write_text(text)
    return check(load_spec(str(path))).problems


@pytest.fixture
def loop(tmp_path: Path) -> Pipeline:
    path = tmp_path / "loop.yaml"
    path.write_text(LOOP)
    return load_pipeline(str(path))


def test_a_loop_of_its_own_length_for_each_query_shares_batches(loop: Pipeline) -> None:
    result = loop.run(["one two three", "four", "five six"])
    assert result.failures == ()
    assert loop.graph.parts["answer"].batches == [3, 2, 1]
    assert [answer.qid for answer in result.answers] == ["1", "2", "3"]
    assert [answer.text.count("don't know") for answer in result.answers] == [3, 1, 2]


def test_inner_nodes_are_reported_beside_the_outer_ones(loop: Pipeline) -> None:
    result = loop.run(["one two three", "four"])
    reports = {report.name: report for report in result.nodes}
    assert list(reports) == [
        *["found", "context", "answer"],
        *["answer/word/found", "answer/word/context", "answer/word/said"],
    ]
    assert reports["answer/word/found"].usage.calls == 4
    assert reports["answer/word/found"].n_queries == 4
    assert reports["answer"].usage.calls == 0  # what came back from inside costs nothing any more
    qids = [ranking.qid for ranking in result.records["answer/word/found"]]
    assert sorted(qids) == ["1/1", "1/2", "1/3", "2/1"]
    assert {ranking.outer_qid for ranking in result.records["answer/word/found"]} == {"1", "2"}


def test_each_question_has_its_own_share_of_what_ran_inside(loop: Pipeline) -> None:
    one, two = apart(loop.run(["one two three", "four"]))
    assert [len(r.records["answer/word/found"]) for r in (one, two)] == [3, 1]
    calls = {r.name: r.usage.calls for r in one.nodes}
    assert calls["answer/word/found"] == 3
    lines = answer_lines(loop.run(["one two three", "four"]), {"1": "a", "2": "b"})
    assert [line["tokens"]["calls"] for line in lines] == [4, 2]  # the outer retriever's one, and those inside


def test_an_inner_failure_is_an_empty_record_and_counted(loop: Pipeline) -> None:
    result = loop.run(["one bad two"])
    assert result.failures == ()
    [answer] = result.answers
    assert "(failed)" in answer.text
    report = next(r for r in result.nodes if r.name == "answer/word/found")
    assert report.outcomes["failed"] == 1


@pytest.mark.parametrize(
    ("budget", "runs"), [("{calls: 2}", 2), ("{tokens: 25}", 3), ("{seconds: 1000}", 4), ("{calls: 9, tokens: 10}", 1)]
)
def test_a_budget_bounds_what_runs_for_a_question(budget: str, runs: int, tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(LOOP.replace("    output: said\n", f"    output: said\n    budget: {budget}\n"))
    with load_pipeline(str(path)) as pipeline:
        result = pipeline.run(["one two three four", "five"])
    found = [r for r in result.records["answer/word/found"] if r.outer_qid == "1"]
    assert len(found) == runs
    [answer, other] = result.answers
    assert answer.text.count("(fallback)") == 4 - runs
    assert "(fallback)" not in other.text  # each question has a budget of its own


def test_a_time_that_is_over_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(LOOP.replace("    output: said\n", "    output: said\n    budget: {seconds: 0.000001}\n"))
    with load_pipeline(str(path)) as pipeline:
        result = pipeline.run(["one two"])
    assert result.answers[0].text == "(fallback) (fallback)"
    assert [report.name for report in result.nodes] == ["found", "context", "answer"]


WIDE = """
version: 1
models:
  small: {use: llm.scripted, with: {replies: ["So."]}}
nodes:
  found:
    use: retrieve.test_widened
    k: 3
    with: {inner: {use: retrieve.test_finder, with: {cost: 2}}, second: {use: rerank.identity}, llm: small}
output: found
"""


def test_a_component_may_be_given_a_retriever_and_a_reranker(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(WIDE)
    with load_pipeline(str(path)) as pipeline:
        result = pipeline.run(["one two", "three"])
    usage = {report.name: report.usage.calls for report in result.nodes}
    assert usage == {"found": 2, "found/inner": 6, "found/second": 0}
    assert [r.qid for r in result.rankings] == ["1", "2"]


def test_a_named_graph_serves_as_a_retriever(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    graphs = "graphs:\n  wide: {nodes: {any: {use: retrieve.test_finder, k: 9}}, output: any}\nnodes:"
    path.write_text(WIDE.replace("nodes:", graphs, 1).replace("{use: retrieve.test_finder, with: {cost: 2}}", "wide"))
    with load_pipeline(str(path)) as pipeline:
        names = [report.name for report in pipeline.run(["one two"]).nodes]
    assert names == ["found", "found/wide/any", "found/second"]


def test_weights_inside_name_nodes_as_the_graph_calls_them(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    weights = "{norm: z_score, weights: {one: 0.3, two: 0.7}}"
    body = (
        "{one: {use: retrieve.test_finder, k: 9}, two: {use: retrieve.test_finder, k: 9}, "
        f"both: {{use: fuse.weighted, in: [one, two], k: 9, with: {weights}}}}}"
    )
    graphs = f"graphs:\n  wide: {{nodes: {body}, output: both}}\nnodes:"
    path.write_text(WIDE.replace("nodes:", graphs, 1).replace("{use: retrieve.test_finder, with: {cost: 2}}", "wide"))
    with load_pipeline(str(path)) as pipeline:
        result = pipeline.run(["one two"])
    assert {report.name: report.outcomes.get("failed", 0) for report in result.nodes}["found/wide/both"] == 0


LEGS = """
version: 1
models:
  small: {use: llm.scripted}
graphs:
  both:
    nodes:
      bm25: {use: retrieve.bm25, k: 9}
      dense: {use: retrieve.dense, k: 9}
      fused: {use: fuse.rrf, in: [bm25, dense], k: 9}
    output: fused
nodes:
  found:
    use: retrieve.test_widened
    k: 3
    with: {inner: both, second: {use: rerank.cross_encoder, with: {model: m}}, llm: small}
output: found
"""


def test_legs_and_models_inside_count(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(LEGS)
    checked = check(load_spec(str(path)))
    assert checked.problems == []
    assert checked.legs == ("dense", "lexical")


INSIDE = "      found: {use: retrieve.test_finder, k: 3}\n      context: {use: assemble.token_budget, in: found"
assert INSIDE in LOOP
MISTAKES = {
    "no such graph": ("answers: word", "answers: wrod", "no inner graph 'wrod' for 'answers'. Did you mean 'word'"),
    "gives other records": (
        "output: said",
        "output: context",
        "wants answers of 'answers', but graph 'word' gives contexts",
    ),
    "unknown component inside": (
        "generate.cited",
        "generate.citde",
        ":10: graph 'word': node 'said': no component named 'generate.citde'",
    ),
    "wiring inside": (
        INSIDE,
        INSIDE.replace("in: found", "in: fuond"),
        ":9: graph 'word': node 'context': no node 'fuond' to take input from",
    ),
    "parameter inside": (
        INSIDE,
        INSIDE.replace("k: 3}", "k: 3, with: {csot: 1}}"),
        ":8: graph 'word': node 'found': retrieve.test_finder has no parameter 'csot'. Did you mean 'cost'",
    ),
    "budget": ("    output: said\n", "    output: said\n    budget: {calls: 0}\n", "graphs.word.budget.calls"),
    "unknown key": (
        "    output: said\n",
        "    output: said\n    limit: 3\n",
        "graphs.word.limit: unknown key. Known: budget, description, nodes, output.",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_each_mistake_inside_is_named_with_its_line(case: str, tmp_path: Path) -> None:
    old, new, message = MISTAKES[case]
    assert problems(LOOP, tmp_path / "g.yaml") == []
    assert old in LOOP
    try:
        found = "\n".join(problems(LOOP.replace(old, new, 1), tmp_path / "g.yaml"))
    except SpecError as error:
        found = str(error)
    assert message in found


def test_graphs_that_use_each_other_in_a_circle_or_that_nobody_uses_are_named(tmp_path: Path) -> None:
    circle = """
version: 1
models: {small: {use: llm.scripted}}
graphs:
  a: {nodes: {x: {use: retrieve.test_widened, k: 1, with: {inner: b, second: identity, llm: small}}}, output: x}
  b: {nodes: {x: {use: retrieve.test_widened, k: 1, with: {inner: a, second: identity, llm: small}}}, output: x}
  c: {nodes: {x: {use: retrieve.test_finder, k: 1}}, output: x}
nodes: {found: {use: retrieve.test_widened, k: 1, with: {inner: a, second: identity, llm: small}}}
output: found
"""
    found = problems(circle, tmp_path / "g.yaml")
    assert any("the inner graphs use each other in a circle" in problem for problem in found)
    assert any(":7: graph 'c': no node is given it" in problem for problem in found)


def test_a_prompt_inside_changes_the_identity_of_the_run(tmp_path: Path) -> None:
    prompt = tmp_path / "mine.yaml"
    said = f"said: {{use: generate.closed_book, in: query, with: {{llm: small, prompt: {prompt}}}}}"
    graph: dict[str, Any] = parse_yaml(LOOP, name="loop").data
    graph["graphs"]["word"] = parse_yaml(f"nodes:\n  {said}\noutput: said", name="word").data
    prompt.write_text("variables: [question]\nuser: 'Answer: {question}'\n")
    before = graph_identity(load_pipeline(graph).graph)
    assert graph_identity(load_pipeline(graph).graph) == before
    prompt.write_text("variables: [question]\nuser: 'Answer now: {question}'\n")
    assert graph_identity(load_pipeline(graph).graph) != before


def test_it_is_drawn_and_in_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(LOOP)
    spec = load_spec(str(path)).graph
    text = mermaid(spec)
    assert 'subgraph g0["graph word"]' in text
    assert "n2 -.-> g0" in text
    assert "graph word" in svg(spec)
    path.write_text(WIDE)
    assert "found#58; inner" in mermaid(load_spec(str(path)).graph)
    assert "InnerGraph" in graph_schema()["$defs"]


def test_spans_of_inner_runs_stand_under_the_node(tmp_path: Path) -> None:
    tracing = pytest.importorskip("ragline_tracing")

    path = tmp_path / "g.yaml"
    path.write_text(WIDE)
    with tracing.to_file(tmp_path / "trace.jsonl"), load_pipeline(str(path)) as pipeline:
        pipeline.run(["one two"])
    spans = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    by_id = {span["span_id"]: span for span in spans}

    def above(span: dict[str, Any]) -> list[str]:
        parent = by_id.get(span.get("parent_id") or "")
        return [*above(parent), span["name"]] if parent else [span["name"]]

    inner = [above(span) for span in spans if span["name"].endswith("inner") and "run" not in span["name"]]
    assert len(inner) == 1
    assert any("found" in name for name in inner[0][:-1])


def test_outside_of_a_graph_an_inner_graph_just_runs(loop: Pipeline) -> None:
    inner = loop.graph.parts["answer"].answers
    [first, second] = inner.run([Query(qid="a", text="one"), Query(qid="a", text="two")])
    assert (first.qid, second.qid) == ("a", "a")
    assert inner.spent(Query(qid="a", text="one")) == ""
    assert inner.run([]) == []


def test_the_whole_of_a_merged_run_keeps_inner_reports(loop: Pipeline) -> None:
    result: RunResult = loop.run(["one", "two", "three"], batch=1)
    report = next(r for r in result.nodes if r.name == "answer/word/found")
    assert (report.n_queries, report.usage.calls) == (3, 3)


class Letting:
    """Passes on, and counts how often it lets go.

    Args:
        name: what it is called.
    """

    released: ClassVar[list[str]] = []

    def __init__(self, *, name: str = "x") -> None:
        self.name = name

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """The same rankings."""
        return [replace(ranking, hits=ranking.hits[:k]) for ranking in rankings]

    def release(self) -> None:
        self.released.append(self.name)


def test_with_a_node_goes_what_was_written_as_its_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RERANKERS._table, "test_letting", Letting)
    monkeypatch.setattr(Letting, "released", [])
    graph: dict[str, Any] = parse_yaml(WIDE, name="wide").data
    graph["nodes"]["found"]["with"]["second"] = {"use": "rerank.test_letting", "with": {"name": "inner"}}
    graph["nodes"]["last"] = {"use": "rerank.test_letting", "in": "found", "k": 3, "with": {"name": "last"}}
    graph["output"] = "last"
    with load_pipeline(graph) as pipeline:
        pipeline.release("found")
        assert Letting.released == ["inner"]
        pipeline.release()
        assert sorted(Letting.released) == ["inner", "inner", "last"]


def test_over_another_index_inner_parts_that_search_none_are_shared(
    tmp_path: Path, documents: tuple[Document, ...]
) -> None:
    index = small_index(tmp_path, documents)
    path = tmp_path / "loop.yaml"
    path.write_text(LOOP.replace("found: {use: retrieve.test_finder", "found: {use: retrieve.bm25"))
    first = load_pipeline(str(path), index=index)
    newer = successor(first, open_index(index))
    remade = {name for name, made in newer.graph.facts.items() if made.part is not first.graph.facts[name].part}
    assert remade == {"found", "word/found", "answer"}
    assert newer.index is not first.index
    assert newer.ask("paid leave").text == first.ask("paid leave").text
