"""A small size of every benchmark, two at a time: do they still run? The figures mean nothing.

Benchmarks of one work folder, or of one index, run one after the other, in the order in which they stand here.

Needs the folder that RAGLINE_EVAL_DATA names; without it this says so and does nothing.

    python -m benchmarks.smoke
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

SMALL = {  # the longest first, so that nothing long is left at the end
    "methods": ["--sets", "cranfield", "--limit", "1", "--lines", "runs/methods_smoke.jsonl"],
    "attention_profile": ["--documents", "6", "--memory", "4", "8"],
    "serve_load": ["--requests", "2", "--clients", "2"],
    "graph_overhead": ["--runs", "100"],
    "bm25_quality": ["adi", "xquad/zh"],
    "bm25_speed": ["--rounds", "2"],
    "dense_quality": ["scifact", "--limit", "120"],
    "dense_speed": ["--documents", "40", "--rounds", "1"],
    "fusion": ["codebase-chunks", "--limit", "10"],
    "rare_words": ["adi", "--n", "5", "--work", "runs/rare_smoke"],
    "clause_markers": ["musique-100"],
    "fusion_cost": ["--passages", "300", "--questions", "3", "--work", "runs/fusion_cost_smoke"],
    "chunking": ["time", "--limit", "20"],
    "indexing": ["docs-python", "--legs", "lexical", "--limit", "20"],
    "icr_cost": ["--documents", "6", "--repeats", "1"],
    "icr_quality": ["scifact", "--limit", "2", "--depth", "6"],
    "attention": [
        *["alone", "fused", "icr-shuffled", "yes-no", "--limit", "2", "--depth", "10"],
        *["--work", "runs/attention_smoke.jsonl"],
    ],
    "attention_sizes": [
        *["--models", "smollm2-135m-instruct", "--sets", "cranfield", "codebase-chunks"],
        *["--limit", "4", "--depth", "6", "--report", "3", "--work", "runs/sizes_smoke"],
    ],
    "leg_weights": ["adi", "--limit", "5", "--work", "runs/legs_smoke"],
    "late_interaction": ["adi", "--queries", "5", "--rounds", "1", "--work", "runs/late_smoke"],
    "attention_latency": ["--documents", "6", "--queries", "1", "--growth", "6", "12"],
    "attention_invariance": ["--documents", "6", "--queries", "1"],
    "first_hour": ["--folder", "examples/corpus", "--n", "1", "--model", "qwen2.5-coder-0.5b-instruct"],
    "cut_rows": ["adi", "--limit", "4", "--work", "runs/cut_rows_smoke"],
    "everyday": ["--megabytes", "1", "--runs", "1"],
    "hidden_instructions": ["--limit", "3"],
    "sharing": ["--queries", "1", "--depth", "4", "--rounds", "1", "--methods", "yes or no", "setwise, heapsort"],
    "cited_answers": ["--limit", "2", "--closed-book", "--work", "runs/cited_smoke.jsonl"],
    "verdicts": [
        "words",
        "encoder",
        "attention",
        "--wice",
        "4",
        "--ramdocs",
        "4",
        "--lines",
        "runs/verdicts_smoke.jsonl",
    ],
    "backtracing": [
        *["bm25", "dense", "single", "causal", "--sets", "news", "--n", "2", "--model", "smollm2-135m-instruct"],
        *["--work", "runs/backtracing_smoke.jsonl"],
    ],
    "own_questions": [
        *["cranfield", "--n", "1", "--model", "smollm2-135m-instruct", "--engine", "transformers"],
        *["--work", "runs/own_questions_smoke"],
    ],
    "judges": [
        *["--n", "2", "--nuggets", "2", "--model", "smollm2-135m-instruct", "--engine", "transformers"],
        *["--out", "runs/judges_smoke"],
    ],
    "claims": ["--model", "smollm2-135m-instruct", "--engine", "transformers", "--n", "4"],
    "relevance": ["--n", "40"],
    "languages": ["xquad/zh"],
    "mixed_languages": ["even", "--limit", "20"],
    "bitext": ["de", "--limit", "30"],
    "decoder_encoders": ["codebase-chunks", "--documents", "8", "--queries", "2", "--tokens", "16"],
    "sparse_speed": ["windows", "--passages", "200", "--queries", "4", "--rounds", "1", "--work", "runs/sparse_smoke"],
    "leaderboard": [
        *["adi", "--limit", "5"],
        *["--work", "runs/legs_smoke", "--out", "runs/leaderboard_smoke"],
    ],
    "promptreps": ["adi", "--limit", "5", "--work", "runs/promptreps_smoke"],
    "mentions": [
        *["name", "read", "--types", "product", "--most", "16", "--model", "scripted"],
        *["--work", "runs/mentions_smoke.jsonl"],
    ],
    "forecasts": ["--n", "2", "--model", "scripted", "--work", "runs/forecasts_smoke.jsonl"],
    "multi_step": [
        *["--sets", "pubmedqa", "musique-100", "--n", "2", "--model", "scripted"],
        *["--work", "runs/multi_step_smoke.jsonl"],
    ],
    "relations": ["--n", "2", "--model", "smollm2-135m-instruct", "--work", "runs/relations_smoke.jsonl"],
    "conversation": ["--n", "2", "--model", "scripted", "--work", "runs/conversation_smoke.jsonl"],
    "counting": ["--n", "2", "--model", "scripted", "--work", "runs/counting_smoke.jsonl"],
    "counting_asked": ["--limit", "2"],
    "checked_hyde": ["cranfield", "--n", "2", "--model", "scripted", "--work", "runs/checked_hyde_smoke.jsonl"],
    "code_switch": ["de", "--limit", "10"],
    "persuasion": ["--n", "2", "--model", "scripted", "--work", "runs/persuasion_smoke.jsonl"],
    "snippets": ["--n", "2", "--model", "scripted", "--work", "runs/snippets_smoke.jsonl"],
    "typed": ["--n", "2", "--model", "scripted", "--work", "runs/typed_smoke.jsonl"],
    "walks": ["--n", "2", "--model", "scripted", "--work", "runs/walks_smoke.jsonl"],
    "stride": [
        *["--texts", "1", "--words", "32", "--strides", "32", "--neighbours", "0", "1"],
        *["--work", "runs/stride_smoke.jsonl"],
    ],
    "legs": ["codebase-chunks", "--legs", "bm25", "sparse", "--limit", "10"],
    "misleading": ["closed-book", "vote", "--limit", "3", "--work", "runs/misleading_smoke.jsonl"],
    "engines": [
        "llama.cpp",
        "--questions",
        "2",
        "--alone",
        "1",
        "--tokens",
        "8",
        "--model",
        "qwen2.5-coder-0.5b-instruct",
    ],
    "risk": [
        *["answer", "xquad", "--n", "2", "--model", "smollm2-135m-instruct"],
        *["--lines", "runs/risk_smoke.jsonl"],
    ],
    "million": [
        *["words", "opening", "filters", "changes", "--passages", "300", "--queries", "4"],
        *["--work", "runs/million_smoke"],
    ],
    "million_vectors": [
        *["all-minilm-l6-v2", "--passages", "300", "--queries", "4"],
        *["--work", "runs/million_smoke"],
    ],
    "scale": ["bm25", "sparse", "--passages", "40", "--corpus", "300", "--work", "runs/million_smoke"],
    "many_files": ["--files", "20", "--legs", "words"],
    "killed_builds": ["--kills", "1", "--passages", "40", "--corpus", "300", "--work", "runs/million_smoke"],
    "index_changes": ["--passages", "400", "--changes", "20", "--rounds", "1"],
    "index_servers": ["adi", "--limit", "4"],
}

SAME_INDEX = {"conversation": "multi_step", "counting": "forecasts", "typed": "multi_step"}
"""Benchmark -> one that builds the same index, behind which it runs: an index is built by one process at a time."""


def folder(name: str) -> str:
    """Return the work folder of a benchmark; its name, where it has none of its own."""
    name = SAME_INDEX.get(name, name)
    arguments = SMALL[name]
    return arguments[arguments.index("--work") + 1] if "--work" in arguments else name


def run(names: list[str]) -> list[str]:
    """Run benchmarks one after the other, with a thread of numbers each, and return those that failed."""
    failed = []
    for name in names:
        begun = perf_counter()
        command = [sys.executable, "-m", f"benchmarks.{name}", *SMALL[name]]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        print(f"{name:<20} {'FAILED' if done.returncode else 'ok'} {perf_counter() - begun:6.1f} s", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout[-2000:], done.stderr[-4000:], sep="\n", flush=True)
    return failed


def main() -> int:
    """Run all; return 1 if one failed."""
    if not os.environ.get("RAGLINE_EVAL_DATA"):
        print("benchmarks: not run, RAGLINE_EVAL_DATA does not name a folder of evaluation sets")
        return 0
    chains: dict[str, list[str]] = defaultdict(list)
    for name in SMALL:
        chains[folder(name)].append(name)
    with ThreadPoolExecutor(2) as pool:
        failed = [name for some in pool.map(run, chains.values()) for name in some]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
