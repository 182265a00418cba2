"""How much of the first stage's score to keep: nDCG@10 by its weight, mean over sets, and with each set's own best weight.

From the scores of attention alone that `benchmarks.attention` has recorded. The last column cheats on purpose: no way of
choosing one weight per set from other sets' labels can end above it.

    RAGLINE_EVAL_DATA=... python -m benchmarks.attention_fusion [--record]
"""

from __future__ import annotations

import argparse
import json
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.attention import WORK
from benchmarks.first_stage import Job, prepare
from benchmarks.make_samples import JUDGEMENTS
from benchmarks.record import record
from rag.evaluate.measures import evaluate
from rerankers.attention.weigh import fused

WEIGHTS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
STAGES: dict[Literal["bm25", "hybrid"], str] = {"bm25": "alone", "hybrid": "hybrid-alone"}


def by_weight(job: Job, lines: dict[str, dict[str, Any]]) -> NDArray[np.float64]:
    """Mean nDCG@10 of a set's queries under each weight."""
    values = np.empty((len(job.rankings), len(WEIGHTS)))
    for row, ranking in enumerate(job.rankings):
        first = np.array([hit.score for hit in ranking.hits])
        for at, weight in enumerate(WEIGHTS):
            # At 1 the first stage's own order, ties included, and not that of its rounded scores.
            scores = (
                -np.arange(len(first))
                if weight == 1
                else fused(np.array(lines[ranking.qid]["scores"]), first, weight=weight)
            )
            ids = [ranking.doc_ids[i] for i in np.argsort(-scores, kind="stable")]
            measured = evaluate({ranking.qid: ids}, {ranking.qid: job.qrels[ranking.qid]}, ["nDCG@10"])
            values[row, at] = measured.measures["nDCG@10"]
    result: NDArray[np.float64] = values.mean(axis=0)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=40)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--record", action="store_true", help="append to benchmarks/results/attention_fusion.jsonl")
    options = parser.parse_args()
    recorded = [json.loads(line) for line in WORK.read_text(encoding="utf-8").splitlines()]
    heading = " | ".join(f"{weight:g}" for weight in WEIGHTS)
    print(f"| over | {heading} | each set's own best |", "| --- |" + " ---: |" * (len(WEIGHTS) + 1), sep="\n")
    for stage, method in STAGES.items():
        table = []
        for name in JUDGEMENTS:
            # A later line replaces an earlier one: the last head set's.
            lines = {each["qid"]: each for each in recorded if (each["method"], each["set"]) == (method, name)}
            table.append(by_weight(prepare(name, depth=options.depth, limit=options.limit, stage=stage), lines))
        means, best = np.mean(table, axis=0), float(np.max(table, axis=1).mean())
        print(f"| {stage} | {' | '.join(f'{value:.3f}' for value in means)} | {best:.3f} |")
        if options.record:
            rounded = {f"{weight:g}": round(float(mean), 4) for weight, mean in zip(WEIGHTS, means, strict=True)}
            record("attention_fusion", {"over": stage, "by_weight": rounded, "own_best": round(best, 4)})


if __name__ == "__main__":
    main()
