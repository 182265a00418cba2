"""What heads can be learned from: nDCG@10 of attention alone on each sample, by what its heads were found on and how much.

Judgements of the other sets, queries that nobody judged and that two legs grade, and questions made from a corpus, graded
in the same way; each of these with fewer queries too, which says whether more of them would help. No query of the samples
is among those that nobody judged. Scores of all heads are those that `plugins.train.benchmarks.attention_heads` keeps in its work
folder; this fits and ranks alone, in minutes. nDCG@10 is against the best order of the candidates, over queries with a
relevant one.

    python -m plugins.train.benchmarks.attention_teachers [--last-layer 9] [--record]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.make_samples import JUDGEMENTS
from benchmarks.record import Record, record
from plugins.train.benchmarks.attention_heads import WORK, asked_folder, free_folder, others, read_scores
from ragline_train.heads.weighings import PENALTIES, Example, fit, ndcg, scored

HEADS_PER_LAYER = 9  # of smollm2-135m-instruct
NUMBERS = (15, 30, 60, 120)
"""Queries of each set that heads are found on."""
DRAW = 0

Examples = Mapping[str, Sequence[Example]]


def kept(folder: Path, *, n_heads: int) -> list[Example]:
    """The kept scores of a folder, of the first heads, as examples."""
    cases = [read_scores(path) for path in sorted(folder.glob("*.npz"))]
    examples = [each.example(slice(n_heads)) for each in cases if (each.grades > 0).any()]
    if not examples:
        raise SystemExit(f"no scores in {folder}: run python -m plugins.train.benchmarks.attention_heads --layers 9")
    return examples


def some(examples: Sequence[Example], n: int) -> list[Example]:
    """At most `n`, drawn at random, the same in every run."""
    order = np.random.default_rng(DRAW).permutation(len(examples))
    return [examples[at] for at in order[:n]]


def itself(pool: Examples, name: str) -> Sequence[Example]:
    return pool[name]


def all_of(pool: Examples, _: str) -> list[Example]:
    return [each for examples in pool.values() for each in examples]


def by_penalty(tried: Examples, found_on: Callable[[str], Sequence[Example]]) -> list[float]:
    """Mean over sets of nDCG@10, for each penalty."""
    values = np.empty((len(tried), len(PENALTIES)))
    for row, (name, examples) in enumerate(tried.items()):
        for column, penalty in enumerate(PENALTIES):
            weights, prior = fit(found_on(name), "joint", penalty)
            values[row, column] = np.mean([ndcg(scored(each, weights, prior), each.grades) for each in examples])
    means: list[float] = values.mean(axis=0).round(4).tolist()
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--last-layer", type=int, default=9)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/attention_teachers.jsonl")
    options = parser.parse_args()
    n_heads = HEADS_PER_LAYER * (options.last_layer + 1)
    judged = {name: kept(options.work / f"{name}-40", n_heads=n_heads) for name in JUDGEMENTS}
    asked, free = (
        {name: kept(options.work / folder(name, options.last_layer), n_heads=n_heads) for name in JUDGEMENTS}
        for folder in (asked_folder, free_folder)
    )
    print(f"| found on | queries of each set | {' | '.join(f'penalty {each:g}' for each in PENALTIES)} |")
    print("| --- |" + " ---: |" * (len(PENALTIES) + 1))
    for told, pool, of in (
        ("judgements of the other sets", judged, others),
        ("queries of the other sets, unjudged", asked, others),
        ("queries of all sets, unjudged", asked, all_of),
        ("the set's own corpus", free, itself),
        ("the corpora of all sets", free, all_of),
    ):
        most = max(map(len, pool.values()))
        for n in sorted({min(n, most) for n in NUMBERS}):
            less = {name: some(examples, n) for name, examples in pool.items()}
            means = by_penalty(judged, partial(of, less))
            print(f"| {told} | {n} | {' | '.join(f'{each:.3f}' for each in means)} |", flush=True)
            if options.record:
                found = {f"{penalty:g}": mean for penalty, mean in zip(PENALTIES, means, strict=True)}
                record("attention_teachers", {"found_on": told, "queries_per_set": n, "ndcg": found})


if __name__ == "__main__":
    main()
