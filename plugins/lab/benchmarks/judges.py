"""How often a judge is right: agreement of a model with labels on ramdocs and clapnq, as `rag lab judge --labels` measures it.

ramdocs: of a right and a wrong answer to a question, with the question's documents shown, does the judge prefer the right
one? clapnq: a reference answer beside a refusal, half of the questions with an answer in their passage and half without;
and nuggets of a reference, held against that reference and against one of another question. Both orders are asked; a
judge that changes its mind with the order is not right. The file that is written is one that `rag lab gate` reads.
Nothing is trained or chosen on these sets.

    RAGLINE_EVAL_DATA=... python -m plugins.lab.benchmarks.judges [SET ...] [--model NAME] [--engine ENGINE] [--n 60] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from benchmarks.graphs import ENGINES
from benchmarks.make_samples import data_folder, take_sets
from benchmarks.record import Record, for_folder, record
from plugins.lab.benchmarks.models import named
from rag.evaluate import load_beir
from ragline_lab.judge.agreement import write_agreement
from ragline_lab.judge.asking import Judge
from ragline_lab.judge.measuring import measure

SETS = ("ramdocs", "clapnq")


def _say(what: str, done: int, total: int) -> None:
    print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the judge, write its agreement, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--engine", choices=ENGINES, default="vllm_offline")
    parser.add_argument("--n", type=int, default=60, help="pairs, and references, of each set")
    parser.add_argument("--nuggets", type=int, default=10, help="most nuggets of a reference")
    parser.add_argument("--out", type=for_folder, default=Path("runs/judges"), help="folder of agreement files")
    parser.add_argument("--record", action=Record, help="append to results/judges.jsonl")
    options = parser.parse_args(arguments)
    judge = Judge(named(options.model, options.engine))
    items = {name: list(load_beir(data_folder() / name).items()) for name in options.sets or SETS}
    begun = perf_counter()
    agreement = measure(judge, items, limit=options.n, n=options.nuggets, progress=_say)
    seconds = perf_counter() - begun
    out = options.out / f"{Path(options.model).name}.json"
    write_agreement(agreement, out)
    print(*agreement.lines(), sep="\n")
    verdicts = sum(figures.cases for figures in agreement.kinds.values())
    print(f"{verdicts} verdicts in {seconds:.0f} s; written to {out}")
    if options.record:
        told = agreement.model_dump(mode="json")
        record("judges", {**told, "engine": options.engine, "n": options.n, "seconds": round(seconds, 1)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
