"""What a measured fit is worth: hybrid search by an encoder that does not say its languages, before and with it.

The packaged encoders stand for such ones: what they say of their languages is not looked at. `hybrid` is the built-in one, BM25
.3 and vectors .7, compared over the index. "measured": vectors count as far as the build measured them
(`retrievers.legs.own_sentences`). Both are compared with BM25, and "measured" with the hybrid as it is without, by a paired
randomisation test, corrected over the systems of a set (Holm). Indexes are those of `benchmarks.encoder_choice`.

    RAGLINE_EVAL_DATA=... python -m benchmarks.own_fit [SET ...] [--encoder E ...] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.encoder_choice import DEPTH, ENCODERS, WORDS, built
from benchmarks.legs import MEASURE, SETS, folder_of
from benchmarks.make_samples import data_folder, take_sets
from benchmarks.record import Record, record
from rag.core.ranking import completed
from rag.core.trec import Qrels
from rag.core.types import Query, Ranking
from rag.evaluate import evaluate
from rag.evaluate.beir import load_beir
from rag.evaluate.comparison import compare_runs
from rag.stages.fuse import WeightedFuser
from retrievers import RETRIEVERS
from retrievers.index.directory import LocalIndex
from retrievers.legs.dense.search import dense
from retrievers.legs.own_sentences import fit_by_own_sentences
from retrievers.legs.protocol import MADE_BY

MEASURED = "measured"


def lists_of(index: LocalIndex, queries: Sequence[Query]) -> list[Ranking]:
    """BM25's lists and those of vectors, completed."""
    made: dict[str, Any] = {name: RETRIEVERS.get(name)(index=index) for name in ("bm25", "dense")}
    return completed([each for one in made.values() for each in one.retrieve(queries, k=DEPTH)], made)


def fit_of(index: LocalIndex) -> float:
    """What a build would measure; 1 where it cannot."""
    leg, texts = dense(index), index.documents.texts_for(index.facts("dense")[MADE_BY])
    fit = fit_by_own_sentences(
        texts, leg.vectors(np.arange(len(texts))), lambda some, role: leg.encoder.encode(some, role=role)
    )
    return 1.0 if fit is None else fit


def fused(lists: Sequence[Ranking], fit: float) -> list[Ranking]:
    """The hybrid, with vectors counted as far as they fit."""
    fitted = [
        replace(each, population=replace(each.population, fit=fit))
        if each.source == "dense" and each.population is not None
        else each
        for each in lists
    ]
    return WeightedFuser(norm="corpus", weights={"bm25": WORDS, "dense": 1 - WORDS}).fuse(fitted, k=DEPTH)


def told(name: str, encoder: str, lists: Sequence[Ranking], fit: float, qrels: Qrels) -> Iterator[dict[str, Any]]:
    """A line for each system of a set and encoder."""
    runs = {each: [one for one in lists if one.source == each] for each in ("bm25", "dense")}
    runs |= {"hybrid": fused(lists, 1.0), MEASURED: fused(lists, fit)}
    worth = {system: evaluate(run, qrels, [MEASURE]) for system, run in runs.items()}
    to_bm25 = compare_runs(
        worth["bm25"], {each: worth[each] for each in ("dense", "hybrid", MEASURED)}, measures=[MEASURE]
    )
    to_hybrid = compare_runs(worth["hybrid"], {MEASURED: worth[MEASURED]}, measures=[MEASURE])
    for system, one in worth.items():
        line: dict[str, Any] = {"set": name, "encoder": encoder, "system": system, "fit": fit, "queries": one.n_queries}
        line[MEASURE] = one.measures[MEASURE]
        for to, compared in (("to_bm25", to_bm25), ("to_hybrid", to_hybrid)):
            if system in compared:
                [found] = compared[system]
                line[to] = {
                    "by": found.test.difference,
                    "low": found.test.low,
                    "high": found.test.high,
                    "p": found.p,
                }
        yield line


def show(line: Mapping[str, Any]) -> None:
    gains = [f"{to} {line[to]['by']:+.4f} p {line[to]['p']:.3f}" for to in ("to_bm25", "to_hybrid") if to in line]
    print(
        f"{line['set']:16} {line['encoder']:22} fit {line['fit']:.2f} {line['system']:9} {line[MEASURE]:.4f}  "
        + "  ".join(gains),
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set, encoder and system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--encoder", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--limit", type=int, help="only the first N queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/encoder_choice"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/own_fit.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or SETS:
        dataset = load_beir(data_folder() / name)
        qrels = dataset.qrels()
        queries = dataset.queries_of(qrels)[: options.limit]
        judged = {query.qid: qrels[query.qid] for query in queries}
        for encoder in options.encoder:
            print(f"indexing {name} with {encoder}", file=sys.stderr, flush=True)
            folder = options.work / f"{encoder}-{folder_of(name)}"
            built(name, encoder, folder)
            with LocalIndex.open(folder) as index:
                lists, fit = lists_of(index, queries), fit_of(index)
            for line in told(name, encoder, lists, fit, judged):
                show(line)
                if options.record:
                    record("own_fit", line | {"limit": options.limit})
    return 0


if __name__ == "__main__":
    sys.exit(main())
