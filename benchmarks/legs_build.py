"""What legs cost a build beside vectors alone, and how far one reading for two legs is from two readings.

Builds of the same SciFact documents take turns: vectors alone, vectors with late interaction over the same encoder, all four
legs, and each of the other legs alone. The figure of each is its median round, by the clock and in seconds of the
processor; the latter tell more where other work shares the cores. Vectors must be the same to the bit in every build that has
them. "apart": cosines between token vectors by the reading for both legs and by one for late interaction alone, before they
are kept in few bits.

    RAGLINE_EVAL_DATA=... python -m benchmarks.legs_build [--documents 1000] [--rounds 3] [--threads 2] [--record]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.evaluate.beir import load_beir
from rag.indexing import build_index
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.token_encoder import TokenEncoder
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.late_interaction.kind import BLOCK

ALONE, BOTH, ALL = "vectors", "vectors, late interaction", "all four"
BUILDS = {
    ALONE: ("dense",),
    BOTH: ("dense", "late_interaction"),
    ALL: ("lexical", "dense", "sparse", "late_interaction"),
    "words": ("lexical",),
    "learned sparse": ("sparse",),
    "late interaction": ("late_interaction",),
}
AT_MOST = {BOTH: 1.15, ALL: 2.0}
"""Times vectors alone."""
_WARM = 20
"""Documents of a first build, which loads what all of them need."""


class Turns:
    """Seconds by the clock and of the processor, of each build in each round."""

    def __init__(self, corpus: Path, work: Path, *, rounds: int) -> None:
        names = list(BUILDS)
        self.seconds: dict[str, list[float]] = {name: [] for name in names}
        self.cpu_seconds: dict[str, list[float]] = {name: [] for name in names}
        vectors: set[str] = set()
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                place = work / f"{number} {name}"
                begun, cpu_begun = perf_counter(), process_time()
                build_index([corpus], place, settings=IndexSettings().judging_documents(), legs=BUILDS[name])
                self.seconds[name].append(perf_counter() - begun)
                self.cpu_seconds[name].append(process_time() - cpu_begun)
                with LocalIndex.open(place) as index:
                    files = index.manifest.files.items()
                    vectors |= {facts.sha256 for path, facts in files if path == "dense/vectors.npy"}
        if len(vectors) != 1:
            raise SystemExit("builds have different vectors of the same documents")


def ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Of each build's median round to that of vectors alone."""
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return {name: round(median / medians[ALONE], 3) for name, median in medians.items()}


def apart(texts: list[str]) -> dict[str, float]:
    """Cosines between token vectors of one reading for both legs and of one for late interaction."""
    encoder, tokens = SentenceEncoder(model="all-minilm-l6-v2"), TokenEncoder(model="all-minilm-l6-v2")
    if encoder.reading() != tokens.reading():
        raise SystemExit("the two legs do not share a reading")
    shared: dict[int, NDArray[np.float32]] = {}

    def seen(place: int, ids: Sequence[int], states: NDArray[np.float32]) -> None:
        shared[place] = tokens.of_states(ids, states)

    encoder.encode(texts, role="document", seen=seen)
    cosines = []
    for start in range(0, len(texts), BLOCK):
        own = tokens.encode(texts[start : start + BLOCK], role="document")
        cosines += [(own.row(place) * shared[start + place]).sum(axis=1) for place in range(len(own))]
    found = np.concatenate(cosines)
    return {"mean": float(found.mean()), "least": float(found.min()), "equal": float((found > 1 - 1e-6).mean())}


def written(folder: Path, documents: int) -> tuple[Path, list[str]]:
    """So many documents of SciFact as a file, and their texts."""
    texts = [each.index_text for each in islice(load_beir(data_folder() / "scifact").documents(), documents)]
    corpus = folder / f"{documents}.jsonl"
    corpus.write_text("".join(json.dumps({"_id": str(at), "text": text}) + "\n" for at, text in enumerate(texts)))
    return corpus, texts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print seconds and ratios. With --strict the exit status is 1 if a ratio by the clock is above its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--record", action=Record, help="append to results/legs_build.jsonl")
    parser.add_argument("--strict", action="store_true", help="fail if a target is missed; a busy machine may miss any")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        build_index([written(work, _WARM)[0]], work / "warm", legs=BUILDS[ALL])
        corpus, texts = written(work, options.documents)
        turns = Turns(corpus, work, rounds=options.rounds)
    by_clock, by_cpu, cosines = ratios(turns.seconds), ratios(turns.cpu_seconds), apart(texts)
    print(f"{len(texts)} SciFact documents, {options.threads} threads, median of {options.rounds} rounds")
    print(f"{'':28}{'seconds':>9}{'CPU s':>9}{'ratio':>8}{'CPU':>8}{'at most':>9}")
    for name in BUILDS:
        medians = [statistics.median(each[name]) for each in (turns.seconds, turns.cpu_seconds)]
        target = AT_MOST.get(name, "")
        print(
            f"{name:28}{medians[0]:9.2f}{medians[1]:9.2f}{by_clock[name]:8.2f}{by_cpu[name]:8.2f}{target:>9}",
            flush=True,
        )
    print("apart: " + ", ".join(f"{name} {value:.6f}" for name, value in cosines.items()))
    if options.record:
        line: dict[str, Any] = {"set": "scifact", "documents": len(texts), "rounds": options.rounds}
        line |= {"threads": options.threads, "seconds": turns.seconds, "cpu_seconds": turns.cpu_seconds}
        record("legs_build", line | {"ratios": by_clock, "cpu_ratios": by_cpu, "apart": cosines})
    return int(options.strict and any(by_clock[name] > most for name, most in AT_MOST.items()))


if __name__ == "__main__":
    sys.exit(main())
