"""What a model knows of claims without any document (RAGuard's first setting): true or false, whichever is likelier.

The documents of this set cannot be had, so it is asked of the closed book alone; with documents the question is put on
ramdocs (`benchmarks.misleading`). Claims are drawn once. Nothing is written by the model, so no reply can be misread.

    RAGLINE_EVAL_DATA=... python -m benchmarks.claims [--model NAME] [--engine vllm_offline] [--n 400] [--record]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import prompts
from benchmarks.graphs import VLLM
from benchmarks.make_samples import SEED, records
from benchmarks.record import Record, record
from benchmarks.ways import mean_cell
from generators.llm import LLMS
from rag.core.completions import choose_each
from rag.core.protocols import ChoosingLLM

WORDS = ("true", "false")
PROMPT = Path(__file__).with_name("claims.yaml")


def drawn(n: int) -> list[dict[str, Any]]:
    """The first n claims of a fixed random order."""
    claims = records("raguard-claims/claims")
    random.Random(f"{SEED}:raguard").shuffle(claims)
    return claims[:n]


def called_true(llm: ChoosingLLM, claims: Sequence[str]) -> list[bool | None]:
    """Whether `true` is likelier than `false` for each claim; None where the model gives neither a probability."""
    template = prompts.load(str(PROMPT))
    rows = choose_each(llm, [template.render(claim=claim) for claim in claims], WORDS)
    return [bool(row[0] > row[1]) if np.isfinite(row).any() else None for row, _ in rows]


def main() -> None:
    """Ask all claims in one batch, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--engine", choices=("vllm_offline", "transformers"), default="vllm_offline")
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--record", action=Record, help="append to results/claims.jsonl")
    options = parser.parse_args()
    claims = drawn(options.n)
    llm = LLMS.get(options.engine)(model=options.model, **(VLLM if options.engine == "vllm_offline" else {}))
    begun = perf_counter()
    called = called_true(llm, [claim["claim"] for claim in claims])
    seconds = perf_counter() - begun
    llm.release()
    gold = [claim["verdict"] == "True" for claim in claims]
    right = [float(call == truth) for call, truth in zip(called, gold, strict=True)]
    sides = {
        name: mean_cell([value for value, truth in zip(right, gold, strict=True) if truth is side])
        for name, side in (("true claims", True), ("false claims", False))
    }
    most = max(sum(gold), len(gold) - sum(gold)) / len(gold)
    true = called.count(True) / len(called)
    print(
        f"{options.model}, {len(claims)} claims: right {mean_cell(right)}; "
        + "; ".join(f"of {name} {cell}" for name, cell in sides.items())
        + f"; called true {true:.2f}; the more frequent verdict for all would be right in {most:.2f}; "
        f"{seconds / len(claims):.2f} s a claim"
    )
    if options.record:
        told = {"model": options.model, "n": len(claims), "right": mean_cell(right), "called_true": true, **sides}
        record("claims", told | {"most_frequent": most, "seconds": seconds / len(claims)})


if __name__ == "__main__":
    main()
