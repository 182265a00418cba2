"""HyDE with a check (`reformulate.checked`), beside HyDE as it is and the built-in `hybrid`, on four sets.

    hybrid    the query alone
    hyde      the dense leg searches with the mean of the query and a document that the model wrote, BM25 with the query
    checked   the same, and the query alone where the document strays from what the query finds by itself

First the documents are written, one a query, greedily; each is a line of a work file, so a run that was stopped goes on where
it was, and so is what each query comes to in each way. Then `--tune` prints, for every signal, what each threshold gains on
queries that are kept for tuning: training queries of scifact, development queries of cosqa, and of cranfield and toollens 40
queries that are not in the samples. The defaults of `reformulate.checked` are the best of that table. Without `--tune` the
three ways are compared on the committed samples, 40 queries a set, which no threshold was chosen on.

The model runs in vLLM, so this wants its Python; `--engine llama_cpp` runs it without.

    RAGLINE_EVAL_DATA=... python -m benchmarks.checked_hyde [SET ...] [--tune] [--model NAME] [--n 40]
    python -m benchmarks.checked_hyde --tune --table
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import get_args

from benchmarks.graphs import ENGINES, llm, llm_part
from benchmarks.make_samples import SEED, data_folder, draw, read_sample
from benchmarks.model_server import add_model
from benchmarks.record import RESULTS
from benchmarks.ways import difference_cell, mean_cell, require_ways
from benchmarks.work_lines import Component, Setup, Work
from rag.core.protocols import LLM
from rag.core.trec import Qrels
from rag.core.types import Query, QueryPart, Ranking
from rag.evaluate.beir import Dataset, load_beir
from rag.evaluate.graph_evaluation import cached_index
from rag.evaluate.measures import evaluate
from rag.graph.load import load_spec
from rag.stages import REFORMULATORS
from rag.stages.fuse import WeightedFuser
from ragline_recipes.checked import LEAST, CheckedReformulator, Held, Signal
from retrievers.index_protocol import Index
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever

WORK = RESULTS / "checked_hyde.jsonl"
MODEL = "qwen2.5-coder-1.5b-instruct"
MEASURE = "nDCG@10"
MAX_TOKENS, TOGETHER, DEPTH = 96, 20, 100
PROMPTS = {"scifact": "hyde_claim"}
TUNED_ON = {"scifact": "train", "cosqa": "dev", "cranfield": "test", "toollens": "test"}
"""Set -> the judgements of its tuning queries. Where they are those of the sample, its queries are left out."""
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(21))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Queries of a set and their judgements, with what the corpus is searched by."""

    name: str
    dataset: Dataset
    queries: Sequence[Query]
    qrels: Qrels


def asked(name: str, *, tune: bool, n: int) -> Asked:
    """The first n queries to tune on, or to report."""
    dataset = load_beir(data_folder() / name)
    qrels = dataset.qrels(TUNED_ON[name] if tune else "test")
    sample = read_sample(name)
    if tune:
        others = {qid: grades for qid, grades in qrels.items() if qid not in sample}
        sample = draw(others, seed=f"{SEED}:{name}, tuning", size=40)
    by_qid = {query.qid: query for query in dataset.queries}
    queries = [by_qid[qid] for qid in sample[:n]]
    return Asked(name=name, dataset=dataset, queries=queries, qrels={query.qid: qrels[query.qid] for query in queries})


def component(name: str, model: str, engine: str) -> Component:
    """What writes the documents of a set."""
    params = {"n": 1, "temperature": 0.0, "max_tokens": MAX_TOKENS, "prompt": PROMPTS.get(name, "hyde")}
    return Component(REFORMULATORS.get("hyde"), llm=llm_part(model, engine), **params)


def setup_of(one: Asked, model: str, engine: str) -> Setup:
    """What the documents depend on."""
    return Setup.of(component(one.name, model, engine), data=[one.dataset.folder])


def write(one: Asked, work: Work, *, model: str, engine: str) -> None:
    """Write the documents that have no line yet."""
    setup = setup_of(one, model, engine)
    missing = [query for query in one.queries if work.get("written", one.name, query.qid, setup) is None]
    if not missing:
        return
    part = component(one.name, model, engine).make(llm=writer(model, engine))
    for start in range(0, len(missing), TOGETHER):
        for query in part.reformulate(missing[start : start + TOGETHER]):
            work.add(
                {
                    "method": "written",
                    "set": one.name,
                    "qid": query.qid,
                    "texts": [each.text for each in query.parts if each.role == "document"],
                    "calls": query.usage.calls,
                    "tokens": query.usage.prompt_tokens + query.usage.new_tokens,
                    "seconds": round(query.usage.seconds, 3),
                },
                setup,
            )
        print(f"{one.name}: {min(start + TOGETHER, len(missing))} of {len(missing)} written", flush=True)


@cache
def writer(model: str, engine: str) -> LLM:
    """The model that writes, made once."""
    return llm(model, engine)


class Search:
    """The search of `hybrid`, in which the dense leg may be asked by other queries than BM25."""

    def __init__(self, one: Asked, work: Work, setup: Setup) -> None:
        self.one, self.setup = one, setup
        lines = {query.qid: work.get("written", one.name, query.qid, setup) for query in one.queries}
        self.lines = {qid: line for qid, line in lines.items() if line is not None}
        self.queries = [query for query in one.queries if query.qid in self.lines]
        self.written = [_with(query, self.lines[query.qid]["texts"]) for query in self.queries]

    def open(self, index: Index) -> None:
        """Search by the queries alone and by what was written."""
        self.index = index
        self._dense = DenseRetriever(index=index)
        self._bm25 = BM25Retriever(index=index).retrieve(self.queries, k=DEPTH)
        self.alone = self.fused(self.queries)
        self.values = {"hybrid": self.measured(self.alone), "hyde": self.measured(self.fused(self.written))}

    def fused(self, queries: Sequence[Query]) -> list[Ranking]:
        """One ranking per query, in order."""
        fuser = WeightedFuser(weights={"bm25": 0.3, "dense": 0.7}, norm="z_score")
        return fuser.fuse([*self._bm25, *self._dense.retrieve(queries, k=DEPTH)], k=DEPTH)

    def measured(self, rankings: Sequence[Ranking]) -> list[float]:
        """The measure of each query, in order."""
        qrels = {query.qid: self.one.qrels[query.qid] for query in self.queries}
        values = evaluate(rankings, qrels, [MEASURE]).per_query[MEASURE]
        return [values[query.qid] for query in self.queries]

    def closeness(self, signal: Signal, depth: int) -> list[float]:
        """How close what was written is to what the query finds; 1 where nothing was written, which changes nothing."""
        part = CheckedReformulator(index=self.index, signal=signal, depth=depth)
        held = [
            Held(query=query, texts=tuple(self.lines[query.qid]["texts"]), hits=ranking.hits[:depth])
            for query, ranking in zip(self.written, self.alone, strict=True)
        ]
        usable = [each for each in held if each.texts and each.hits]
        values = iter(part.closeness(usable))
        return [next(values) if each.texts and each.hits else 1.0 for each in held]

    def checked(self) -> tuple[list[float], int]:
        """The measure of each query with the defaults of the component, and how many documents were dropped."""
        made = CheckedReformulator(index=self.index).reformulate(self.written, self.alone)
        return self.measured(self.fused(made)), sum(query.outcome.counts.get("dropped", 0) for query in made)


def _with(query: Query, texts: Sequence[str]) -> Query:
    """The query with written documents, as `reformulate.hyde` makes it."""
    if not texts:
        return query
    parts = (QueryPart(text=query.text), *(QueryPart(text=text, role="document") for text in texts))
    return replace(query, original=query.asked, parts=parts)


def tuned(searches: Sequence[Search]) -> Iterator[str]:
    """Markdown: by signal, depth and threshold what is gained over the query alone, the mean over sets of means over queries."""
    names = [search.one.name for search in searches]
    yield f"| signal | hits | least | kept | {' | '.join(names)} | mean over sets |"
    yield f"| --- | ---: | ---: | ---: | {' | '.join('---:' for _ in names)} | ---: |"
    for signal in get_args(Signal):
        for depth in (3, 10):
            values = [search.closeness(signal, depth) for search in searches]
            for least in THRESHOLDS:
                gains, kept = [], []
                for search, close in zip(searches, values, strict=True):
                    keeps = [value >= least for value in close]
                    pairs = zip(search.values["hyde"], search.values["hybrid"], keeps, strict=True)
                    gains.append(fmean(hyde - alone if keep else 0.0 for hyde, alone, keep in pairs))
                    kept.append(fmean(keeps))
                cells = " | ".join(f"{gain:+.4f}" for gain in gains)
                yield f"| {signal} | {depth} | {least:.2f} | {fmean(kept):.2f} | {cells} | {fmean(gains):+.4f} |"


def keep(search: Search, values: Mapping[str, Sequence[float]], work: Work) -> None:
    """A line for each question and way, of what the table is made."""
    setup = Setup.of(
        CheckedReformulator, Search, data=[search.one.dataset.folder], settings=f"by {search.setup.settings}"
    )
    for way, mine in values.items():
        for query, value in zip(search.queries, mine, strict=True):
            if work.get(way, search.one.name, query.qid, setup) is None:
                work.add({"method": way, "set": search.one.name, "qid": query.qid, MEASURE: value}, setup)


def reported(searches: Sequence[Search], work: Work) -> Iterator[str]:
    """Markdown: a line a set and way, with 95% intervals."""
    yield "| set | way | n | nDCG@10 | to hybrid | to hyde | dropped | calls | tokens |"
    yield "| --- | --- | ---: | --- | --- | --- | ---: | ---: | ---: |"
    everything: dict[str, list[float]] = {"hybrid": [], "hyde": [], "checked": []}
    for search in searches:
        checked, dropped = search.checked()
        values: Mapping[str, list[float]] = {**search.values, "checked": checked}
        keep(search, values, work)
        lines = list(search.lines.values())
        for way, mine in values.items():
            everything[way] += mine
            cost = (
                (0.0, 0.0)
                if way == "hybrid"
                else tuple(fmean(line[of] for line in lines) for of in ("calls", "tokens"))
            )
            told = f"{dropped} of {len(mine)}" if way == "checked" else ""
            yield _row(search.one.name, way, mine, values, f"{told} | {cost[0]:.1f} | {cost[1]:.0f}")
    if len(searches) > 1:
        for way, mine in everything.items():
            yield _row("all", way, mine, everything, " | | ")


def _row(name: str, way: str, mine: Sequence[float], values: Mapping[str, Sequence[float]], rest: str) -> str:
    beside = [
        difference_cell(mine, values[other], digits=3) if way != other and way != "hybrid" else ""
        for other in ("hybrid", "hyde")
    ]
    return f"| {name} | {way} | {len(mine)} | {mean_cell(mine, digits=3)} | {beside[0]} | {beside[1]} | {rest} |"


def main() -> None:
    """Write what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(TUNED_ON)}; all of them when left out")
    parser.add_argument("--tune", action="store_true", help="the tuning queries, and what thresholds gain on them")
    parser.add_argument("--table", action="store_true", help="write nothing: only print the table")
    parser.add_argument("--n", type=int, default=40, help="queries of each set, at most")
    add_model(parser, default=MODEL)
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--work", type=Path, default=WORK)
    options = parser.parse_args()
    require_ways(parser, options.sets, TUNED_ON)
    work, searches, hybrid = Work(options.work), list[Search](), load_spec("hybrid").graph
    for name in options.sets or TUNED_ON:
        one = asked(name, tune=options.tune, n=options.n)
        if not options.table:
            write(one, work, model=options.model, engine=options.engine)
        search = Search(one, work, setup_of(one, options.model, options.engine))
        if search.queries:
            search.open(cached_index(one.dataset, hybrid, hybrid.index))
            searches.append(search)
    print(*(tuned(searches) if options.tune else reported(searches, work)), sep="\n")
    print("defaults: " + ", ".join(f"{signal} {least:g}" for signal, least in LEAST.items()))


if __name__ == "__main__":
    main()
