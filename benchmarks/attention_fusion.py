"""How much of the first stage's score to keep: nDCG@10 by its weight, mean over sets, and with each set's own best weight.

From the scores of attention alone that `benchmarks.attention` has recorded. The last column cheats on purpose: no way of
choosing one weight per set from other sets' labels can end above it.

    RAGLINE_EVAL_DATA=... python -m benchmarks.attention_fusion [--record]
"""

from __future__ import annotations

import argparse
from typing import Literal

import numpy as np

from benchmarks.attention import WORK, ndcg_by_weight
from benchmarks.first_stage import prepare
from benchmarks.make_samples import JUDGEMENTS
from benchmarks.record import Record, record
from benchmarks.work_lines import Work

WEIGHTS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
STAGES: dict[Literal["bm25", "hybrid"], str] = {"bm25": "alone", "hybrid": "hybrid-alone"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=40)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/attention_fusion.jsonl")
    options = parser.parse_args()
    work = Work(WORK)
    heading = " | ".join(f"{weight:g}" for weight in WEIGHTS)
    print(f"| over | {heading} | each set's own best |", "| --- |" + " ---: |" * (len(WEIGHTS) + 1), sep="\n")
    for stage, method in STAGES.items():
        table = []
        for name in JUDGEMENTS:
            scores = {line["qid"]: line["scores"] for line in work.latest(method, name)}
            job = prepare(name, depth=options.depth, limit=options.limit, stage=stage)
            if not {ranking.qid for ranking in job.rankings} <= scores.keys():
                raise SystemExit(f"attention_fusion: {name} lacks lines: python -m benchmarks.attention {method}")
            table.append(ndcg_by_weight(job, scores, WEIGHTS))
        means, best = np.mean(table, axis=0), float(np.max(table, axis=1).mean())
        print(f"| {stage} | {' | '.join(f'{value:.3f}' for value in means)} | {best:.3f} |")
        if options.record:
            rounded = {f"{weight:g}": round(float(mean), 4) for weight, mean in zip(WEIGHTS, means, strict=True)}
            record("attention_fusion", {"over": stage, "by_weight": rounded, "own_best": round(best, 4)})


if __name__ == "__main__":
    main()
