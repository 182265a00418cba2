"""Which leg to trust in each question: weights of a fusion that are learnt for every question apart, beside those of all.

`rag weigh` learns weights from all questions of a corpus (`ragline_train.leg_weights`). Here a question's own lists say how far
each of them agrees with the judge, and the weights are those of all questions, mixed with its own: half and half, or its own
alone. Lists are the runs that `plugins.lab.benchmarks.leaderboard` wrote. Each way is compared with the weights of all
questions by a paired randomisation test, corrected over the ways of a set (Holm).

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.leg_trust [SET ...] [--runs runs/leaderboard] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.legs import LEGS, MEASURE, SETS, folder_of
from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from plugins.train.benchmarks.leg_weights import DEPTH, JUDGE
from rag.errors import SpecError
from rag.evaluate import compare_runs, evaluate, load_beir, read_run
from rag.stages.fuse import WeightedFuser
from rag.types import Document, Query, Ranking, ScoredDocument
from ragline_train.leg_weights import POWER, leg_weights, prior_of

PRIOR = {leg: prior_of(f"retrieve.{leg}") for leg in LEGS}
WAYS = {"half its own": 0.5, "its own alone": 1.0}
"""Way -> the share of a question's own weights."""

Lists = Mapping[str, Mapping[str, Ranking]]
"""Leg -> qid -> what it found."""


def lists_of(runs: Path) -> Lists:
    """The runs of the legs of a set."""
    lists: dict[str, dict[str, Ranking]] = {}
    for leg in LEGS:
        found = read_run(runs / leg / "run.trec")
        lists[leg] = {
            qid: Ranking(
                query=Query(qid=qid, text=qid),
                hits=tuple(
                    ScoredDocument(document=Document(doc_id=doc_id, text=""), score=score) for doc_id, score in hits
                ),
                source=leg,
            )
            for qid, hits in found.items()
        }
    return lists


def weights_of(rankings: Mapping[str, Sequence[Ranking]], otherwise: Mapping[str, float]) -> Mapping[str, float]:
    """Leg -> weight, learnt from these questions; `otherwise` where no list shares a hit with the judge."""
    try:
        return {each.source: each.weight for each in leg_weights(rankings, judge=JUDGE, prior=PRIOR, power=POWER)}
    except SpecError:
        return otherwise


def fused(lists: Lists, qids: Sequence[str], weights: Mapping[str, Mapping[str, float]]) -> list[Ranking]:
    """Every question's lists by its weights: qid -> leg -> weight."""
    rankings = []
    for qid in qids:
        own = {leg: weight for leg, weight in weights[qid].items() if weight and qid in lists[leg]}
        fuser = WeightedFuser(norm="z_score", weights=own)
        rankings += fuser.fuse([lists[leg][qid] for leg in own], k=DEPTH)
    return rankings


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and way, and the mean over sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; those that have runs when left out"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/leaderboard"))
    parser.add_argument("--record", action=Record, help="append to results/leg_trust.jsonl")
    options = parser.parse_args(arguments)
    gains: dict[str, list[float]] = {}
    for name in options.sets or [each for each in SETS if (options.runs / folder_of(each) / "sparse").is_dir()]:
        lists, qrels = lists_of(options.runs / folder_of(name)), load_beir(data_folder() / name).qrels()
        qids = [qid for qid in qrels if any(qid in of_leg for of_leg in lists.values())]
        every = weights_of({leg: list(of_leg.values()) for leg, of_leg in lists.items()}, PRIOR)
        own = {
            qid: weights_of({leg: [of_leg[qid]] if qid in of_leg else [] for leg, of_leg in lists.items()}, every)
            for qid in qids
        }
        of_all = evaluate(fused(lists, qids, dict.fromkeys(qids, every)), qrels, [MEASURE])
        ways = {
            way: evaluate(
                fused(
                    lists,
                    qids,
                    {qid: {leg: (1 - share) * every[leg] + share * own[qid][leg] for leg in every} for qid in qids},
                ),
                qrels,
                [MEASURE],
            )
            for way, share in WAYS.items()
        }
        for way, [one] in compare_runs(of_all, ways, measures=[MEASURE]).items():
            gains.setdefault(way, []).append(one.test.difference)
            line = {"set": name, "way": way, "of_all": one.baseline, MEASURE: one.run, "gain": one.test.difference}
            line |= {"low": one.test.low, "high": one.test.high, "p": one.p, "queries": len(one.differences)}
            interval = f"[{one.test.low:+.4f}, {one.test.high:+.4f}] p {one.p:.3f}"
            change = f"{one.baseline:.4f} -> {one.run:.4f} {one.test.difference:+.4f}"
            print(f"{name:16} {way:14} {change} {interval}", flush=True)
            if options.record:
                record("leg_trust", line)
    for way, some in gains.items():
        print(f"{'mean':16} {way:14} {fmean(some):+.4f}, least {min(some):+.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
