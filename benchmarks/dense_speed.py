"""Dense encoding against sentence-transformers' own `encode`: same texts, same truncation, taking turns.

Every round encodes the same SciFact documents with each contestant once, in another order; the figure of a contestant
is its median round. Processor seconds stand beside it: they tell more where other work shares the cores.
sentence-transformers runs with its defaults (float32, 32 texts a batch) and in bfloat16. The ratios that count: ours as
it comes against its defaults, and ours against it in each data type. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.dense_speed [--model NAME] [--documents 600] [--rounds 3] [--threads 2] [--record]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.evaluate.beir import load_beir
from rag.models import resolve
from retrievers.encoders.sentence_encoder import SentenceEncoder

MODEL = "all-minilm-l6-v2"
FASTER_THAN_DEFAULTS = 2.0
FASTER_AT_EQUAL_DTYPE = 1.2

Encode = Callable[[], NDArray[np.float32]]


def contestants(model: str, texts: list[str]) -> dict[str, Encode]:
    """Name -> what encodes `texts`; each has loaded its weights and encoded a batch."""
    import torch
    from sentence_transformers import SentenceTransformer

    folder = str(resolve(model).path)
    prompt = "document" if SentenceEncoder(model=model).describe()["prompts"]["document"] else None
    found: dict[str, Encode] = {}
    for compute in ("float32", "bfloat16"):
        encoder = SentenceEncoder(model=model, compute=compute)
        options = None if compute == "float32" else {"dtype": torch.bfloat16}
        reference: Any = SentenceTransformer(folder, device="cpu", model_kwargs=options)
        if reference.max_seq_length != encoder.describe()["max_length"]:
            raise SystemExit("the two cut texts at different lengths")
        encoder.encode(texts[:32], role="document")
        reference.encode(texts[:32], show_progress_bar=False)
        found[f"ragline {compute}"] = partial(encoder.encode, texts, role="document")
        found[f"sentence-transformers {compute}"] = partial(_their_encode, reference, texts, prompt)
    return found


def _their_encode(reference: Any, texts: list[str], prompt: str | None) -> NDArray[np.float32]:
    return np.asarray(reference.encode(texts, prompt_name=prompt, show_progress_bar=False), dtype=np.float32)


class Turns:
    """Seconds by the clock and of the processor, of each contestant in each round, and its vectors."""

    def __init__(self, encodes: Mapping[str, Encode], *, rounds: int) -> None:
        names = list(encodes)
        self.seconds: dict[str, list[float]] = {name: [] for name in names}
        self.cpu_seconds: dict[str, list[float]] = {name: [] for name in names}
        self.vectors: dict[str, NDArray[np.float32]] = {}
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                begun, cpu_begun = perf_counter(), process_time()
                self.vectors[name] = encodes[name]()
                self.seconds[name].append(perf_counter() - begun)
                self.cpu_seconds[name].append(process_time() - cpu_begun)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """bfloat16 vectors of sentence-transformers are normalised in bfloat16, and come out longer than 1 or shorter."""
    longer: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return longer


def main(arguments: Sequence[str] | None = None) -> int:
    """Print documents a second and the ratios. With --strict the exit status is 1 if a ratio misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL, help="a packaged encoder")
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--record", action=Record, help="append to results/dense_speed.jsonl")
    parser.add_argument("--strict", action="store_true", help="fail if a target is missed; a busy machine may miss any")
    options = parser.parse_args(arguments)
    data = data_folder() / "scifact"
    import torch

    torch.set_num_threads(options.threads)
    texts = [document.index_text for document in islice(load_beir(data).documents(), options.documents)]
    turns = Turns(contestants(options.model, texts), rounds=options.rounds)
    chosen = SentenceEncoder(model=options.model).compute

    truth = turns.vectors["sentence-transformers float32"]
    print(
        f"{options.model}: {len(texts)} SciFact documents, {options.threads} threads, median of {options.rounds} rounds"
    )
    print(
        f"{'':34}{'docs/s':>8}{'lowest':>8}{'highest':>8}{'docs/CPU s':>12}{'cosine to reference: mean':>28}{'least':>9}"
    )
    rates = {name: len(texts) / statistics.median(times) for name, times in turns.seconds.items()}
    cpu_rates = {name: len(texts) / statistics.median(times) for name, times in turns.cpu_seconds.items()}
    cosines = {name: (unit(found) * unit(truth)).sum(axis=1) for name, found in turns.vectors.items()}
    for name, times in turns.seconds.items():
        lowest, highest = len(texts) / max(times), len(texts) / min(times)
        print(
            f"{name:34}{rates[name]:8.1f}{lowest:8.1f}{highest:8.1f}{cpu_rates[name]:12.1f}"
            f"{cosines[name].mean():28.5f}{cosines[name].min():9.5f}"
        )
    pairs = {f"as it comes ({chosen}) / its defaults": (chosen, "float32", FASTER_THAN_DEFAULTS)} | {
        f"both in {compute}": (compute, compute, FASTER_AT_EQUAL_DTYPE) for compute in ("float32", "bfloat16")
    }
    ratios, cpu_ratios = (
        {
            name: (by[f"ragline {ours}"] / by[f"sentence-transformers {theirs}"], target)
            for name, (ours, theirs, target) in pairs.items()
        }
        for by in (rates, cpu_rates)
    )
    for name, (ratio, target) in ratios.items():
        print(f"{name:44}{ratio:6.2f}  by CPU seconds {cpu_ratios[name][0]:6.2f}  target {target}")
    if options.record:
        record(
            "dense_speed",
            {
                "set": "scifact",
                "documents": len(texts),
                "rounds": options.rounds,
                "threads": options.threads,
                "model": options.model,
                "docs_per_second": rates,
                "docs_per_cpu_second": cpu_rates,
                "seconds": turns.seconds,
                "ratios": {name: ratio for name, (ratio, _) in ratios.items()},
                "cpu_ratios": {name: ratio for name, (ratio, _) in cpu_ratios.items()},
                "mean_cosine": {name: float(found.mean()) for name, found in cosines.items()},
                "least_cosine": {name: float(found.min()) for name, found in cosines.items()},
            },
        )
    return int(options.strict and any(ratio < target for ratio, target in ratios.values()))


if __name__ == "__main__":
    sys.exit(main())
