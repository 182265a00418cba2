"""Writes benchmarks/samples/SET.json: at most 40 queries per evaluation set, drawn with a seed and then
committed.

Only queries with a positive judgement are drawn, so that every one of them can be won or lost. The lists are
made once; this script is how, and a second run changes nothing.

    RAGLINE_EVAL_DATA=... python -m benchmarks.make_samples
"""

from __future__ import annotations

import json
import os
import random
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag.core import lines
from rag.core.trec import Qrels
from rag.evaluate.beir import Dataset, load_beir

SAMPLES = Path(__file__).parent / "samples"
HEADS = Path(__file__).parent / "heads"
"""Head sets that were found without the set that they are named after, by `plugins.train.benchmarks.attention_heads`."""
SEED, SIZE = 20260, 40
JUDGEMENTS = {
    "scifact": "test",
    "cranfield": "test",
    "cacm": "test",
    "cosqa": "test",
    "trec-dl19-pool": "full",  # candidates are those shipped with it; test.tsv knows the pool's documents alone
    "docs-manpages": "test",
    "codebase-chunks": "test",
}


def data_folder() -> Path:
    """The folder of evaluation sets, as RAGLINE_EVAL_DATA names it."""
    folder = Path(os.environ.get("RAGLINE_EVAL_DATA", ""))
    if not (folder / "MANIFEST.md").is_file():
        raise SystemExit("RAGLINE_EVAL_DATA must name the folder of evaluation sets")
    return folder


def take_sets(parser: ArgumentParser, known: Sequence[str]) -> None:
    """Let a command name the sets that it is to run over; where it names none, that is all of them."""

    def one_of_them(name: str) -> str:
        if name not in known:
            raise ArgumentTypeError(f"not one of the sets: {name}")
        return name

    told = f"of {', '.join(known)}; all of them when left out"
    parser.add_argument("sets", nargs="*", metavar="SET", type=one_of_them, help=told)


def records(path: str) -> list[dict[str, Any]]:
    """All lines of a set's file by its path without ending, such as wnut17/corpus."""
    return [record for _, record in lines.records(data_folder() / f"{path}.jsonl.gz")]


def load(dataset: str) -> tuple[Dataset, Qrels]:
    """A set, and the judgements that benchmarks use for it."""
    loaded = load_beir(data_folder() / dataset)
    return loaded, loaded.qrels(JUDGEMENTS[dataset])


def read_sample(dataset: str) -> list[str]:
    """The committed qids of a set, in their drawn order."""
    sample: list[str] = json.loads((SAMPLES / f"{dataset}.json").read_text(encoding="utf-8"))["qids"]
    return sample


def draw(qrels: Qrels, *, seed: str, size: int) -> list[str]:
    """At most `size` qids that have a positive judgement, in random order: the first n are a sample of their
    own.
    """
    answerable = sorted(qid for qid, grades in qrels.items() if max(grades.values()) > 0)
    return random.Random(seed).sample(answerable, min(size, len(answerable)))


def main() -> None:
    SAMPLES.mkdir(exist_ok=True)
    for dataset, judgements in JUDGEMENTS.items():
        qids = draw(load(dataset)[1], seed=f"{SEED}:{dataset}", size=SIZE)
        sample = {"set": dataset, "judgements": f"qrels/{judgements}.tsv", "seed": f"{SEED}:{dataset}", "qids": qids}
        (SAMPLES / f"{dataset}.json").write_text(json.dumps(sample, indent=1) + "\n", encoding="utf-8")
        print(f"{dataset}: {len(qids)} queries")


if __name__ == "__main__":
    main()
