"""What the graph itself costs: one-query runs of six stages that return at once, median of 1,000, in microseconds.

The same chain of six steps in ragline, Haystack, LangChain (a RunnableSequence) and LangGraph, taking turns in one run.
Frameworks that are not installed are left out: pip install haystack-ai langgraph.

    python -m benchmarks.graph_overhead [--runs 1000] [--record]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from benchmarks.record import Record, record
from rag.core.types import Query, Ranking
from rag.graph.build import build
from rag.graph.load import load_spec
from rag.pipeline import Pipeline
from rerankers import RERANKERS
from retrievers import RETRIEVERS

STEPS = 6


class EmptyRetriever:
    """Finds nothing, at once."""

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        return [Ranking(query=q) for q in queries]


class PassOn:
    """Gives back what it got."""

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        return list(rankings)


def ours() -> Callable[[], Any]:
    RETRIEVERS.add("bench_empty", EmptyRetriever)
    RERANKERS.add("bench_pass_on", PassOn)
    nodes: dict[str, Any] = {"s1": {"use": "retrieve.bench_empty", "k": 10}}
    for i in range(2, STEPS + 1):
        nodes[f"s{i}"] = {"use": "rerank.bench_pass_on", "in": f"s{i - 1}", "k": 10}
    pipeline = Pipeline(build(load_spec({"version": 1, "nodes": nodes, "output": f"s{STEPS}"})))
    return lambda: pipeline.search("question")


def haystack() -> Callable[[], Any]:
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
    from haystack import Pipeline as HaystackPipeline
    from haystack import component

    @component
    class Step:
        @component.output_types(value=str)
        def run(self, value: str) -> dict[str, str]:
            return {"value": value}

    pipeline = HaystackPipeline()
    for i in range(1, STEPS + 1):
        pipeline.add_component(f"s{i}", Step())
        if i > 1:
            pipeline.connect(f"s{i - 1}.value", f"s{i}.value")
    return lambda: pipeline.run({"s1": {"value": "question"}})


def langchain() -> Callable[[], Any]:
    from langchain_core.runnables import RunnableLambda

    chain: Any = RunnableLambda(lambda value: value)
    for _ in range(STEPS - 1):
        chain = chain | RunnableLambda(lambda value: value)
    return lambda: chain.invoke("question")


def langgraph() -> Callable[[], Any]:
    from typing import TypedDict

    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        value: str

    graph: Any = StateGraph(State)
    for i in range(1, STEPS + 1):
        graph.add_node(f"s{i}", lambda state: {"value": state["value"]})
        graph.add_edge(START if i == 1 else f"s{i - 1}", f"s{i}")
    graph.add_edge(f"s{STEPS}", END)
    compiled = graph.compile()
    return lambda: compiled.invoke({"value": "question"})


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--runs", type=int, default=1000)
    arguments.add_argument("--record", action=Record)
    given = arguments.parse_args()
    makers = {"ragline": (ours, "rag"), "haystack": (haystack, "haystack")}
    makers |= {"langchain": (langchain, "langchain_core"), "langgraph": (langgraph, "langgraph")}
    calls = {name: make() for name, (make, module) in makers.items() if find_spec(module)}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(20):
            call()
    for _ in range(given.runs):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(times) * 1e6 for name, times in seconds.items()}
    for name, median in sorted(medians.items(), key=lambda pair: pair[1]):
        print(f"{name:<12} {median:9.1f} µs  {median / medians['ragline']:5.1f}x")
    if given.record:
        record("graph_overhead", {"runs": given.runs, "median_microseconds": medians})


if __name__ == "__main__":
    main()
