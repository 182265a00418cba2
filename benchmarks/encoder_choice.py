"""Which encoder an index should have: vectors alone and hybrid by each packaged one and by both, against BM25.

One index of a set for each encoder, words in the set's language. `hybrid` is the built-in one: BM25 .3, vectors .7, compared
over the index; with both encoders each of them has .35. Systems are compared with BM25, and hybrids with that of the
first encoder, by a paired randomisation test, corrected over all systems of a set (Holm). Indexes are kept in the work
folder, so a run that was stopped goes on, and a second one searches alone; a build's seconds and the peak of memory are
told by the run that built it, each in a process of its own.

    RAGLINE_EVAL_DATA=... python -m benchmarks.encoder_choice [SET ...] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.legs import LANGUAGES, MEASURE, SETS, built_in, folder_of
from benchmarks.make_samples import data_folder, take_sets
from benchmarks.memory import alone
from benchmarks.record import Record, record
from rag.core.ranking import completed
from rag.core.trec import Qrels
from rag.core.types import Query, Ranking
from rag.evaluate import Evaluation, evaluate
from rag.evaluate.beir import load_beir
from rag.evaluate.comparison import compare_runs
from rag.indexing import build_index
from rag.stages.fuse import WeightedFuser
from retrievers import RETRIEVERS
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.encoders.by_language import ENGLISH, MULTILINGUAL
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.settings import DenseSettings

ENCODERS = (ENGLISH, MULTILINGUAL)
BOTH = "both"
WORDS = 0.3
DEPTH = 100


def built(name: str, encoder: str, folder: Path) -> dict[str, Any]:
    """What building the index of a set took; nothing where it was there."""
    language = AnalyzerSettings(language=LANGUAGES.get(name, "en"))
    settings = IndexSettings(analyzer=language, dense=DenseSettings(encoder=encoder)).judging_documents()
    corpus = load_beir(data_folder() / name).corpus
    report = build_index(corpus, folder, settings=settings, legs=("lexical", "dense"))
    if report.unchanged:
        return {}
    return {"build_seconds": built_in(report, "dense"), "peak_memory_bytes": report.peak_memory_bytes}


def rankings(queries: Sequence[Query], folders: Mapping[str, Path]) -> dict[str, list[Ranking]]:
    """BM25's lists, and those of each encoder: every hit of one has its true score in all."""
    with LocalIndex.open(folders[ENGLISH]) as english, LocalIndex.open(folders[MULTILINGUAL]) as multilingual:
        made: dict[str, Any] = {"bm25": RETRIEVERS.get("bm25")(index=english)}
        made |= {
            encoder: RETRIEVERS.get("dense")(index=index)
            for encoder, index in zip(ENCODERS, (english, multilingual), strict=True)
        }
        found = [
            replace(each, source=source)
            for source, retriever in made.items()
            for each in retriever.retrieve(queries, k=DEPTH)
        ]
        whole = completed(found, made)
    return {source: [each for each in whole if each.source == source] for source in made}


def systems(lists: Mapping[str, list[Ranking]]) -> dict[str, list[Ranking]]:
    """The lists, and what they are fused to."""
    fused = dict(lists)
    for name, vectors in (*((f"hybrid {each}", (each,)) for each in ENCODERS), (f"hybrid {BOTH}", ENCODERS)):
        weights = {"bm25": WORDS} | dict.fromkeys(vectors, (1 - WORDS) / len(vectors))
        fuser = WeightedFuser(norm="corpus", weights=weights)
        fused[name] = fuser.fuse([ranking for source in weights for ranking in lists[source]], k=DEPTH)
    return fused


def told(name: str, runs: Mapping[str, list[Ranking]], qrels: Qrels) -> list[dict[str, Any]]:
    """A line for each system of a set."""
    worth = {system: evaluate(run, qrels, [MEASURE]) for system, run in runs.items()}
    lines = {
        system: {"set": name, "system": system, "queries": one.n_queries, MEASURE: one.measures[MEASURE]}
        for system, one in worth.items()
    }
    usual = f"hybrid {ENGLISH}"
    hybrids = {system: one for system, one in worth.items() if system.startswith("hybrid")}
    for base, others, to in (("bm25", worth, "to_bm25"), (usual, hybrids, "to_usual")):
        for system, difference in _differences(base, others, worth).items():
            lines[system][to] = difference
    return list(lines.values())


def _differences(
    base: str, systems: Mapping[str, Evaluation], worth: Mapping[str, Evaluation]
) -> dict[str, dict[str, float]]:
    others = {system: one for system, one in systems.items() if system != base}
    return {
        system: {"by": one.test.difference, "low": one.test.low, "high": one.test.high, "p": one.p}
        for system, (one,) in compare_runs(worth[base], others, measures=[MEASURE]).items()
    }


def show(line: Mapping[str, Any]) -> None:
    gains = [f"{to[3:]} {line[to]['by']:+.4f} p {line[to]['p']:.3f}" for to in ("to_bm25", "to_usual") if to in line]
    print(f"{line['set']:16} {line['system']:30} {line[MEASURE]:.4f}  {'  '.join(gains)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--limit", type=int, help="only the first N queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/encoder_choice"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/encoder_choice.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or SETS:
        folders = {encoder: options.work / f"{encoder}-{folder_of(name)}" for encoder in ENCODERS}
        for encoder, folder in folders.items():
            with alone() as process:
                cost = process.submit(built, name, encoder, folder).result()
            if cost:
                print(f"{name}: {encoder}: {cost['build_seconds']:.1f} s", file=sys.stderr, flush=True)
                if options.record:
                    record("encoder_choice", {"set": name, "encoder": encoder} | cost)
        dataset = load_beir(data_folder() / name)
        qrels = dataset.qrels()
        queries = dataset.queries_of(qrels)[: options.limit]
        judged = {query.qid: qrels[query.qid] for query in queries}
        for line in told(name, systems(rankings(queries, folders)), judged):
            show(line)
            if options.record:
                record("encoder_choice", line | {"limit": options.limit})
    return 0


if __name__ == "__main__":
    sys.exit(main())
