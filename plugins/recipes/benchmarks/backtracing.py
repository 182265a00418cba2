"""Which sentence made somebody ask (Backtracing): every form of the likelihood, beside BM25 and vectors, whole sources.

    bm25, dense      similarity inside the source, `retrieve.bm25` and `retrieve.dense` with the query's filter
    single           `retrieve.backtrace`: the question's likelihood after the sentence
    autoregressive   after all sentences up to it
    causal           the same, less that without the sentence
    causal_full      after the whole source, less that without the sentence

A lecture is read in windows of twenty sentences, as in the paper; an article is read whole. Right is any of the sentences that
were marked. Every result is one line in a work file, so a run that was stopped goes on where it was.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.backtracing [WAY ...] [--sets lecture news] [--n 40]
        [--model NAME] [--engine transformers|vllm]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from benchmarks.graphs import llm, llm_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Component, Line, Setup, Work
from rag import build_index
from rag.evaluate import load_beir
from rag.indexes import IndexSettings
from rag.types import Query, Ranking
from ragline_recipes.backtrace import BacktraceRetriever, Form
from retrievers.index.directory import LocalIndex
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever

WORK = RESULTS / "backtracing.jsonl"
INDEXES = Path("runs/backtracing")
MODEL = "qwen2.5-coder-1.5b-instruct"
SEED = 20267
WINDOWS: Mapping[str, int | None] = {"lecture": 20, "news": None}
SIMILAR = ("bm25", "dense")
WAYS = (*SIMILAR, *get_args(Form))
DEPTH = 2000


def drawn(name: str, n: int) -> tuple[list[Query], dict[str, set[str]]]:
    """The first n judged queries of a fixed random order, each with a filter for its source, and the right sentences."""
    qrels = load_beir(data_folder() / f"backtracing-{name}").qrels("test")
    right = {qid: {doc_id for doc_id, grade in grades.items() if grade > 0} for qid, grades in qrels.items()}
    asked = sorted(
        (item for item in records(f"backtracing-{name}/queries") if right.get(item["_id"])),
        key=lambda item: item["_id"],
    )
    random.Random(f"{SEED}:{name}").shuffle(asked)
    return [Query(qid=item["_id"], text=item["text"], where={"group": item["group"]}) for item in asked[:n]], right


def opened(name: str) -> LocalIndex:
    """The index of a set, built where there is none."""
    corpus = data_folder() / f"backtracing-{name}" / "corpus.jsonl.gz"
    build_index([corpus], INDEXES / name, settings=IndexSettings().judging_documents(), legs=("lexical", "dense"))
    return LocalIndex.open(INDEXES / name)


def component(way: str, name: str, reader: Mapping[str, Any]) -> Component:
    """What ranks the sentences of a set. `reader`: the model, as a part of a graph."""
    if way in SIMILAR:
        return Component({"bm25": BM25Retriever, "dense": DenseRetriever}[way])
    return Component(BacktraceRetriever, llm=reader, form=way, window=WINDOWS[name])


def setup_of(way: str, name: str, reader: Mapping[str, Any]) -> Setup:
    """What the lines of a way are made with."""
    return Setup.of(component(way, name, reader), opened, data=[data_folder() / f"backtracing-{name}"])


def line_of(way: str, name: str, ranking: Ranking, right: set[str]) -> Line:
    """The rank of the first right sentence, none where it was not ranked."""
    ranks = [rank for rank, hit in enumerate(ranking.hits, start=1) if hit.doc_id in right]
    usage = ranking.usage
    return {
        "method": way,
        "set": name,
        "qid": ranking.qid,
        "rank": min(ranks, default=None),
        "too_long": ranking.outcome.counts.get("too_long", 0),
        "calls": usage.calls,
        "tokens": usage.prompt_tokens - usage.cached_tokens,
        "seconds": round(usage.seconds, 3),
    }


def trace_all(name: str, ways: Sequence[str], n: int, work: Work, model: Any, reader: Mapping[str, Any]) -> None:
    """Rank what has no line yet."""
    queries, right = drawn(name, n)
    with opened(name) as index:
        for way in ways:
            setup, shared = setup_of(way, name, reader), {} if way in SIMILAR else {"llm": model}
            retriever = component(way, name, reader).make(index=index, **shared)
            for query in queries:
                if work.get(way, name, query.qid, setup) is None:
                    [ranking] = retriever.retrieve([query], k=DEPTH)
                    work.add(line := line_of(way, name, ranking, right[query.qid]), setup)
                    print(f"{name} {way} {query.qid}: rank {line['rank']}, {line['seconds']} s", flush=True)


def hits_at(lines: Sequence[Line], k: int) -> list[float]:
    return [float(line["rank"] is not None and line["rank"] <= k) for line in lines]


def table(work: Work, n: int, reader: Mapping[str, Any]) -> Iterator[str]:
    """Markdown: right at 1 and at 3 with 95% intervals, the difference to BM25 at 1, and the cost. Tokens: those read."""
    yield "| set | way | n | at 1 | to BM25 at 1 [95%] | at 3 | too long | calls | tokens | s |"
    yield "| --- | --- | ---: | --- | --- | --- | ---: | ---: | ---: | ---: |"
    for name in WINDOWS:
        qids = [query.qid for query in drawn(name, n)[0]]
        setups = {way: setup_of(way, name, reader) for way in WAYS}
        for way in WAYS:
            lines = [line for qid in qids if (line := work.get(way, name, qid, setups[way]))]
            if not lines:
                continue
            base = [line for each in lines if (line := work.get("bm25", name, each["qid"], setups["bm25"]))]
            beside = difference_cell(hits_at(lines, 1), hits_at(base, 1)) if base and way != "bm25" else ""
            yield (
                f"| {name} | {way} | {len(lines)} | {mean_cell(hits_at(lines, 1))} | {beside} "
                f"| {mean_cell(hits_at(lines, 3))} | {sum(line['too_long'] for line in lines)} "
                f"| {cost_cells(lines, 'calls', 'tokens', 'seconds')} |"
            )


def main() -> None:
    """Rank what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(WINDOWS), default=list(WINDOWS))
    parser.add_argument("--n", type=int, default=40, help="questions of each set")
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work = Work(options.work, busy=options.busy)
    engine = "vllm_offline" if options.engine == "vllm" else options.engine
    model, reader = llm(options.model, engine), llm_part(options.model, engine)
    for name in options.sets:
        trace_all(name, options.ways, options.n, work, model, reader)
    print(*table(work, options.n, reader), sep="\n")


if __name__ == "__main__":
    main()
