"""Fusions of four legs with weights that need no judgements: what `rag weigh` learns, beside even weights and the hybrid.

The questions of a set are its own, without their judgements. Prior and power are chosen from a small grid, once on all
sets but the one that is measured ("chosen without it"), and as the package has them ("as shipped"), which were chosen on
all of these. Every system is compared with the better of BM25 and dense on that set by a paired randomisation test,
corrected over the systems of a set (Holm). Indexes are those of `benchmarks.legs`.

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.leg_weights [SET ...] [--record]
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.legs import LEGS, MEASURE, SETS, searched
from benchmarks.record import Record, record
from rag.evaluate import Evaluation, Qrels, compare_runs, evaluate
from rag.stages.fuse import WeightedFuser
from rag.types import Ranking
from ragline_train.leg_weights import POWER, leg_weights, prior_of

JUDGE = "late_interaction"
HYBRID = {"bm25": 0.3, "dense": 0.7}
PRIORS = ((1, 1, 1, 1), (1, 1, 1, 0.5), (3, 2, 2, 1), (2, 3, 1, 1), (2, 2, 1, 1), (3, 3, 2, 1))
POWERS = (0, 1, 2, 3, 4)
DEPTH = 100


@dataclass(frozen=True, kw_only=True)
class Case:
    """A set: the rankings of each leg, and the judgements."""

    name: str
    lists: Mapping[str, list[Ranking]]
    qrels: Qrels

    def fused(self, weights: Mapping[str, float]) -> Evaluation:
        """z-scores of the lists that have a weight."""
        kept = {source: weight for source, weight in weights.items() if weight}
        fuser = WeightedFuser(norm="z_score", weights=kept)
        return evaluate(
            fuser.fuse([each for source in kept for each in self.lists[source]], k=DEPTH), self.qrels, [MEASURE]
        )

    def learnt(self, prior: Sequence[float], power: float) -> dict[str, float]:
        """What `rag weigh` says of the set's questions."""
        priors = dict(zip(self.lists, prior, strict=True))
        return {each.source: each.weight for each in leg_weights(self.lists, judge=JUDGE, prior=priors, power=power)}

    def alone(self, source: str) -> Evaluation:
        return evaluate(self.lists[source], self.qrels, [MEASURE])

    @cached_property
    def better(self) -> Evaluation:
        """Of the two legs of the hybrid."""
        return max((self.alone(source) for source in HYBRID), key=lambda one: one.measures[MEASURE])


def told(case: Case, chosen: tuple[Sequence[float], float]) -> list[dict[str, Any]]:
    """A line for each system of a set."""
    shipped = case.learnt([prior_of(f"retrieve.{source}") for source in LEGS], POWER)
    systems: dict[str, tuple[Evaluation, Mapping[str, float]]] = {
        "hybrid, built in": (case.fused(HYBRID), HYBRID),
        "bm25 + dense, even": (case.fused(dict.fromkeys(HYBRID, 1.0)), {}),
        "all four, even": (case.fused(dict.fromkeys(LEGS, 1.0)), {}),
        "learnt, chosen without it": (case.fused(case.learnt(*chosen)), case.learnt(*chosen)),
        "learnt, as shipped": (case.fused(shipped), shipped),
    }
    better = case.better
    compared = compare_runs(better, {name: one for name, (one, _) in systems.items()}, measures=[MEASURE])
    return [
        {
            "set": case.name,
            "system": name,
            "queries": evaluation.n_queries,
            MEASURE: evaluation.measures[MEASURE],
            "better_leg": better.measures[MEASURE],
            "gain": compared[name][0].test.difference,
            "low": compared[name][0].test.low,
            "high": compared[name][0].test.high,
            "p": compared[name][0].p,
            "weights": {source: round(weight, 3) for source, weight in weights.items()},
        }
        for name, (evaluation, weights) in systems.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and system, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"two at least of {', '.join(SETS)}; all when left out")
    parser.add_argument("--limit", type=int, help="only the first N queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/legs"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/leg_weights.jsonl")
    options = parser.parse_args(arguments)
    cases = []
    for name in options.sets or SETS:
        print(f"searching {name}", file=sys.stderr, flush=True)
        found, qrels = searched(name, list(LEGS), options.work, limit=options.limit, depth=DEPTH)
        cases.append(Case(name=name, lists={leg: one.rankings for leg, one in found.items()}, qrels=qrels))
    grid = list(itertools.product(PRIORS, POWERS))
    gains = {
        (case.name, at): case.fused(case.learnt(*at)).measures[MEASURE] - case.better.measures[MEASURE]
        for case in cases
        for at in grid
    }
    means: dict[str, list[float]] = {}
    for case in cases:
        others = [other.name for other in cases if other is not case] or [case.name]
        chosen = max(grid, key=lambda at, others=others: fmean(gains[name, at] for name in others))
        for line in told(case, chosen):
            means.setdefault(line["system"], []).append(line["gain"])
            print(
                f"{line['set']:16} {line['system']:26} {line[MEASURE]:.4f} to the better leg {line['gain']:+.4f} "
                f"[{line['low']:+.4f}, {line['high']:+.4f}] p {line['p']:.3f} {line['weights']}",
                flush=True,
            )
            if options.record:
                record("leg_weights", line | {"depth": DEPTH, "limit": options.limit})
    for system, some in means.items():
        print(
            f"{'mean gain':16} {system:26} {fmean(some):+.4f}, least {min(some):+.4f}, of the first six {fmean(some[:6]):+.4f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
