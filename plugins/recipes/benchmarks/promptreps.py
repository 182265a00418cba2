"""PromptReps: a chat model's own state and words as a first stage, beside BM25, vectors of a small encoder, and both.

Every set has an index of its own for each model. All judged queries, depth 100. Each system is compared with BM25 by a
paired randomisation test, corrected over the systems of a set and model (Holm). Indexes are kept in the work folder; a
build's seconds are told by the run that built it. Last, what all three lists have above the hybrid and above the better
of BM25 and vectors, each a test of its own.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.promptreps [SET ...] [--model NAME] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.legs import MEASURE, Searched, show, timed, told
from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag import build_index
from rag.core.trec import Qrels
from rag.evaluate import Evaluation, evaluate
from rag.evaluate.beir import load_beir
from rag.evaluate.comparison import compare_runs
from rag.indexes import IndexSettings, LocalIndex
from rag.stages.fuse import WeightedFuser
from rag.types import Ranking
from ragline_recipes.promptreps.retriever import PromptRepsRetriever
from ragline_recipes.promptreps.settings import PromptRepsSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever

SETS = ("cranfield", "cacm", "docs-manpages", "codebase-chunks")
HYBRID = {"bm25": 0.3, "dense": 0.7}
FUSED = {
    "hybrid, built in": HYBRID,
    "bm25 + PromptReps": {"bm25": 0.5, "PromptReps": 0.5},
    "hybrid + PromptReps": {"bm25": 0.25, "dense": 0.5, "PromptReps": 0.25},
}
"""z-scores with these weights, which nobody chose on these sets."""


def searched(name: str, model: str, work: Path, *, limit: int | None, depth: int) -> tuple[dict[str, Searched], Qrels]:
    """Rankings of every first stage for a set's judged queries, and the judgements."""
    dataset = load_beir(data_folder() / name)
    settings = IndexSettings(promptreps=PromptRepsSettings(model=model))
    folder = work / model / name
    report = build_index(
        dataset.corpus, folder, settings=settings.judging_documents(), legs=("lexical", "dense", "promptreps")
    )
    qrels = dataset.qrels()
    queries = dataset.queries_of(qrels)[:limit]
    with LocalIndex.open(folder) as index:
        stages = {
            "bm25": (BM25Retriever(index=index), "lexical"),
            "dense": (DenseRetriever(index=index), "dense"),
            "PromptReps, dense": (PromptRepsRetriever(index=index, form="dense"), "promptreps"),
            "PromptReps, sparse": (PromptRepsRetriever(index=index, form="sparse"), "promptreps"),
            "PromptReps": (PromptRepsRetriever(index=index), "promptreps"),
        }
        found = {
            source: timed(stage, source, leg, index, queries, report, depth=depth)
            for source, (stage, leg) in stages.items()
        }
    return found, {query.qid: qrels[query.qid] for query in queries}


def measured(found: Mapping[str, Searched], qrels: Qrels, *, depth: int) -> dict[str, Evaluation]:
    """Every first stage, and the fusions."""
    runs: dict[str, list[Ranking]] = {source: one.rankings for source, one in found.items()}
    for system, weights in FUSED.items():
        lists = [ranking for source in weights for ranking in found[source].rankings]
        runs[system] = WeightedFuser(norm="z_score", weights=weights).fuse(lists, k=depth)
    return {system: evaluate(run, qrels, [MEASURE]) for system, run in runs.items()}


def gains(systems: Mapping[str, Evaluation]) -> dict[str, str]:
    """What all three lists together have above the built-in hybrid, and above the better of BM25 and vectors."""
    better = max(HYBRID, key=lambda source: systems[source].measures[MEASURE])
    bases = {"added to the hybrid": "hybrid, built in", "above the better leg": better}
    return {told: _gain(systems["hybrid + PromptReps"], systems[base]) for told, base in bases.items()}


def _gain(system: Evaluation, base: Evaluation) -> str:
    [one] = compare_runs(base, {"added": system}, measures=[MEASURE])["added"]
    return f"{one.test.difference:+.4f} [{one.test.low:+.4f}, {one.test.high:+.4f}], p {one.p:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(SETS)} when left out")
    parser.add_argument(
        "--model", default="smollm2-135m-instruct", help="a chat model: packaged name, folder or hub id"
    )
    parser.add_argument("--depth", type=int, default=100, help="hits of each list")
    parser.add_argument("--limit", type=int, help="only the first N queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/promptreps"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/promptreps.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or SETS:
        found, qrels = searched(name, options.model, options.work, limit=options.limit, depth=options.depth)
        systems = measured(found, qrels, depth=options.depth)
        gained = gains(systems)
        for line in told(name, found, systems):
            show(line)
            if options.record:
                record("promptreps", line | {"model": options.model, "depth": options.depth, "limit": options.limit})
        print(f"{name}: hybrid + PromptReps: {gained}", flush=True)
        if options.record:
            record("promptreps", {"set": name, "model": options.model, **gained})
    return 0


if __name__ == "__main__":
    sys.exit(main())
