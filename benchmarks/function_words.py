"""Function words: nDCG@10 of BM25 and of the built-in hybrid where words such as "how do I" weigh less, and where not.

Each weight is compared with 1, which is as much as any word, by a paired randomisation test. Indexes have words and vectors,
made by their defaults, and are kept in the work folder.

    RAGLINE_EVAL_DATA=... python -m benchmarks.function_words [SET ...] [--weights 0.3 ...] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.legs import LANGUAGES, MEASURE, SETS, folder_of
from benchmarks.make_samples import data_folder, take_sets
from benchmarks.record import Record, record
from rag.core.protocols import Retriever
from rag.core.ranking import completed
from rag.core.types import Query, Ranking
from rag.evaluate import evaluate
from rag.evaluate.beir import load_beir
from rag.evaluate.comparison import compare_runs
from rag.indexing import build_index
from rag.stages.fuse import WeightedFuser
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever

ALL = (*SETS, "clapnq")
DEFAULT = 0.3
DEPTH = 100
HYBRID = {"bm25": 0.3, "dense": 0.7}
"""Weights of the built-in graph `hybrid`."""


def ranked_by(retriever: Retriever, source: str, queries: Sequence[Query]) -> list[Ranking]:
    """What a retriever finds, under a name."""
    return [replace(ranking, source=source) for ranking in retriever.retrieve(queries, k=DEPTH)]


def measured(name: str, work: Path, *, weights: Sequence[float], limit: int | None) -> Iterator[dict[str, Any]]:
    """A line for each system and weight of a set."""
    dataset = load_beir(data_folder() / name)
    settings = IndexSettings(analyzer=AnalyzerSettings(language=LANGUAGES.get(name, "en"))).judging_documents()
    folder = work / folder_of(name)
    build_index(dataset.corpus, folder, settings=settings, legs=("lexical", "dense"))
    qrels = dataset.qrels()
    queries = dataset.queries_of(qrels)[:limit]
    judged = {query.qid: qrels[query.qid] for query in queries}
    runs: dict[str, dict[str, list[Ranking]]] = {"bm25": {}, "hybrid": {}}
    with LocalIndex.open(folder) as index:
        dense = DenseRetriever(index=index)
        vectors = ranked_by(dense, "dense", queries)
        for weight in (1.0, *weights):
            bm25 = BM25Retriever(index=index, function_words=weight)
            words = ranked_by(bm25, "bm25", queries)
            whole = completed([*words, *vectors], {"bm25": bm25, "dense": dense})
            runs["bm25"][str(weight)] = words
            runs["hybrid"][str(weight)] = WeightedFuser(norm="corpus", weights=HYBRID).fuse(whole, k=DEPTH)
    for system, by_weight in runs.items():
        plain, *others = (evaluate(run, judged, [MEASURE]) for run in by_weight.values())
        named = dict(zip(list(by_weight)[1:], others, strict=True))
        tests = compare_runs(plain, named, measures=[MEASURE])
        for label, evaluation in named.items():
            [one] = tests[label]
            line: dict[str, Any] = {"set": name, "system": system, "weight": float(label), "queries": len(queries)}
            line |= {"plain": plain.measures[MEASURE], MEASURE: evaluation.measures[MEASURE]}
            yield line | {"to_plain": one.test.difference, "low": one.test.low, "high": one.test.high, "p": one.p}


def show(line: Mapping[str, Any]) -> None:
    gain = f"{line['to_plain']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}] p {line['p']:.3f}"
    head = f"{line['set']:16} {line['system']:7} {line['weight']:4}"
    print(f"{head} {line['plain']:.4f} {line[MEASURE]:.4f}  {gain}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set, system and weight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, ALL)
    parser.add_argument("--weights", type=float, nargs="+", default=[DEFAULT], help="of function words, from 0 to 1")
    parser.add_argument("--limit", type=int, help="only the first N queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/function_words"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/function_words.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or ALL:
        for line in measured(name, options.work, weights=options.weights, limit=options.limit):
            show(line)
            if options.record:
                record("function_words", line | {"limit": options.limit})
    return 0


if __name__ == "__main__":
    sys.exit(main())
