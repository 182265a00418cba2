"""Questions per second on the vLLM engine: batches against one at a time, and against LangChain and Haystack.

One engine, in one run. `closed-book`: the built-in graph. `ask`: BM25, attention reranking of ten, passages up to about
700 prompt tokens, an answer; what the reranker makes of documents is kept from before, as `rag index --states` leaves it.
Both through `rag batch` and one question at a time; `ask` also as a LangChain sequence (`batch`) and as a Haystack
pipeline, which runs one question after another, both with its passages in a prompt much like its own, and its engine;
frameworks that are not installed are left out. Stages alone: the engine completing as many prompts, and the reranker.
Every way has the same questions, of clapnq, and finds the engine's prefix cache empty. What is compared takes turns: the
engine alone, `rag batch` and LangChain, medians over the rounds.

    RAGLINE_EVAL_DATA=... python -m benchmarks.throughput [--questions 48] [--alone 12] [--tokens 48] [--rounds 3] [--record]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.batch.run import run_batch
from rag.core.types import Completion, Message, Prompt, Query, SamplingParams
from rag.evaluate.beir import load_beir
from rag.evaluate.graph_evaluation import cached_index
from rag.graph.build import build
from rag.graph.load import load_spec
from rag.graph.spec import GraphSpec
from rag.pipeline import Pipeline

PASSAGE_TOKENS = 600  # with instruction and question a prompt is about 700
MODELS: dict[str, Any] = {
    "engine": {"use": "llm.vllm_offline", "with": {"kv_cache_gib": 4, "max_model_len": 2048}},
    "reader": {"use": "llm.transformers", "with": {"model": "smollm2-135m-instruct"}},
}


def models(engine: str) -> dict[str, Any]:
    """The reader, and this model in the engine."""
    return {**MODELS, "engine": {**MODELS["engine"], "with": {**MODELS["engine"]["with"], "model": engine}}}


def closed_book(tokens: int, model: str) -> dict[str, Any]:
    answer = {"use": "generate.closed_book", "in": "query", "with": {"llm": "engine", "max_tokens": tokens}}
    return {
        "version": 1,
        "models": {"engine": models(model)["engine"]},
        "nodes": {"answer": answer},
        "output": "answer",
    }


def ask(tokens: int, model: str) -> dict[str, Any]:
    nodes = {
        "bm25": {"use": "retrieve.bm25", "in": "query", "k": 10},
        "ranked": {
            "use": "rerank.attention",
            "in": "bm25",
            "k": 10,
            "with": {"llm": "reader", "first_stage_weight": 0.5},
        },
        "context": {
            "use": "assemble.token_budget",
            "in": "ranked",
            "with": {"llm": "engine", "max_tokens": PASSAGE_TOKENS},
        },
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "engine", "max_tokens": tokens}},
    }
    return {"version": 1, "models": models(model), "nodes": nodes, "output": "answer"}


def rate(n: int, work: Callable[[], Any]) -> float:
    """Items per second."""
    started = time.perf_counter()
    work()
    spent = time.perf_counter() - started
    print(f"    {n} in {spent:.1f} s", flush=True)
    return n / spent


def through_batch(pipeline: Pipeline, queries: Sequence[Query]) -> float:
    """Questions per second of `rag batch`, commits and all."""
    with tempfile.TemporaryDirectory() as folder:
        questions = Path(folder) / "questions.jsonl"
        lines = (json.dumps({"id": query.qid, "question": query.text}) for query in queries)
        questions.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return rate(len(queries), lambda: run_batch(questions, pipeline, out=Path(folder) / "out"))


class Told:
    """Notes the prompts that an engine would be given; the engine itself must not see them before it is timed."""

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self.prompts: list[Prompt] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> Any:
        self.prompts += prompts
        return [Completion(text="noted") for _ in prompts]


def prompts_of(pipeline: Pipeline, queries: Sequence[Query], llm: Any) -> list[Prompt]:
    """What the answering node asks the model."""
    told = Told(llm)
    node = pipeline.graph.parts["answer"]
    before, node.llm = node.llm, told
    try:
        pipeline.ask_batch(queries)
    finally:
        node.llm = before
    return told.prompts


def plain_prompt(pipeline: Pipeline, question: str) -> str:
    """What other frameworks' engines are asked: the graph's own passages, in a prompt of much the same length as its own."""
    passages = pipeline.run([Query(qid="1", text=question)], to="context").outputs[0].passages
    numbered = "\n\n".join(f"[{i}] {hit.document.full_text}" for i, hit in enumerate(passages, start=1))
    return f"Answer the question from the passages and cite them as [1].\n\n{numbered}\n\nQuestion: {question}"


def langchain(pipeline: Pipeline, queries: Sequence[Query], llm: Any, params: SamplingParams) -> float:
    """A LangChain sequence: our retrieval as its retriever's step, its batch, the same engine."""
    from langchain_core.language_models.llms import BaseLLM
    from langchain_core.outputs import Generation, LLMResult
    from langchain_core.runnables import RunnableLambda

    class Engine(BaseLLM):
        @property
        def _llm_type(self) -> str:
            return "engine"

        def _generate(self, prompts: list[str], *args: Any, **more: Any) -> LLMResult:
            asked = [[Message(role="user", content=prompt)] for prompt in prompts]
            return LLMResult(generations=[[Generation(text=c.text)] for c in llm.complete(asked, params)])

    chain: Any = RunnableLambda(lambda question: plain_prompt(pipeline, question)) | Engine()
    return rate(len(queries), lambda: chain.batch([query.text for query in queries]))


def haystack(pipeline: Pipeline, queries: Sequence[Query], llm: Any, params: SamplingParams) -> float:
    """A Haystack pipeline of the same two parts; it takes one question at a time."""
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
    from haystack import Pipeline as Haystack
    from haystack import component

    @component
    class Prompts:
        @component.output_types(prompt=str)
        def run(self, question: str) -> dict[str, str]:
            return {"prompt": plain_prompt(pipeline, question)}

    @component
    class Engine:
        @component.output_types(reply=str)
        def run(self, prompt: str) -> dict[str, str]:
            return {"reply": llm.complete([[Message(role="user", content=prompt)]], params)[0].text}

    chain = Haystack()
    chain.add_component("prompts", Prompts())
    chain.add_component("engine", Engine())
    chain.connect("prompts.prompt", "engine.prompt")
    return rate(len(queries), lambda: [chain.run({"prompts": {"question": query.text}}) for query in queries])


def measured(
    spec: dict[str, Any], index: Any, queries: Sequence[Query], *, n: int, alone: int, tokens: int, rounds: int
) -> dict[str, float]:
    """Questions per second of one graph by every way there is, and of its stages alone."""
    pipeline = Pipeline(build(load_spec(spec), index=index), index=index)
    engine = pipeline.graph.models["engine"]
    params = SamplingParams(max_tokens=tokens)
    asked, some, warming = queries[:n], queries[:alone], queries[n : n + 8]
    if "ranked" in pipeline.graph.parts:
        pipeline.graph.parts["ranked"].read_ahead(list(index.documents))
    pipeline.ask_batch(warming)  # starts the engine, loads the rest
    prompts = prompts_of(pipeline, asked, engine)

    def timed(n: int, work: Callable[[], Any]) -> float:
        engine.forget_prefixes()  # what one way has read must not be found by the next
        return rate(n, work)

    shares: list[float] = []

    def complete() -> None:
        done = engine.complete(prompts, params)
        shares.append(sum(c.cached_tokens for c in done) / sum(c.prompt_tokens for c in done))

    def engine_alone() -> float:
        return timed(n, complete)

    found = {"prompt_tokens": statistics.mean(engine.count_tokens(prompts))}
    found["alone"] = timed(alone, lambda: [pipeline.ask(query) for query in some])
    ways: dict[str, Callable[[], float]] = {"batch": lambda: through_batch(pipeline, asked)}
    if "ranked" in pipeline.graph.parts and find_spec("langchain_core"):
        ways["langchain"] = lambda: langchain(pipeline, asked, engine, params)
    engines, by_way = [engine_alone()], dict[str, list[float]]()
    for _ in range(rounds):
        for name, way in ways.items():
            engine.forget_prefixes()
            by_way.setdefault(name, []).append(way())
        engines.append(engine_alone())
    found |= {name: statistics.median(rates) for name, rates in by_way.items()}
    found["engine_alone"] = statistics.median(engines)
    found["cached_share"] = statistics.median(shares)
    if "ranked" in pipeline.graph.parts:
        found["reranker_alone"] = rate(n, lambda: pipeline.run(asked, to="ranked"))
        if find_spec("haystack"):
            engine.forget_prefixes()
            found["haystack"] = haystack(pipeline, some, engine, params)
    engine.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="what the engine runs")
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--alone", type=int, default=12, help="questions asked one at a time")
    parser.add_argument("--tokens", type=int, default=48, help="of an answer, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/throughput.jsonl")
    options = parser.parse_args()
    dataset = load_beir(data_folder() / "clapnq")
    queries = list(dataset.queries)
    graph = GraphSpec.model_validate(ask(options.tokens, options.model))
    with cached_index(dataset, graph, graph.index) as index:
        for name, spec in (
            ("closed-book", closed_book(options.tokens, options.model)),
            ("ask", ask(options.tokens, options.model)),
        ):
            found = measured(
                spec,
                index,
                queries,
                n=options.questions,
                alone=options.alone,
                tokens=options.tokens,
                rounds=options.rounds,
            )
            cached = found.pop("cached_share")
            print(f"{name}: prompts of {found.pop('prompt_tokens'):.0f} tokens, {cached:.1%} of them read once for all")
            for way, speed in found.items():
                print(f"  {way:<15} {speed:7.2f} questions/s  {speed / found['alone']:5.1f} times one at a time")
            slowest = min(speed for way, speed in found.items() if way.endswith("_alone"))
            print(f"  batch is {found['batch'] / slowest:.0%} of the slowest stage alone", flush=True)
            if options.record:
                settings = {"questions": options.questions, "alone": options.alone, "tokens": options.tokens}
                told = {"graph": name, "model": options.model, **settings, "cached_share": round(cached, 4)}
                record("throughput", {**told, "questions_per_second": found})


if __name__ == "__main__":
    main()
