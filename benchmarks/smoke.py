"""A small size of every benchmark, two at a time: do they still run? The figures mean nothing.

All work on a small copy of the sets (`benchmarks.small_data`), in a folder of their own that goes at the end. Benchmarks of
one work folder, or of one index, run one after the other, in the order in which they stand here.

Needs the folder that RAGLINE_EVAL_DATA names; without it this says so and does nothing.

    python -m benchmarks.smoke
"""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

from benchmarks import memory, small_data
from benchmarks.make_samples import data_folder
from rag.models.processor import usable_core_ids

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "torch",
        "transformers.models.llama.modeling_llama",
        "faiss",
        "rag.indexing",
        "rag.pipeline",
        "retrievers.stores.kernel",
        "sentence_transformers",
    ]
)
"""What most benchmarks import is imported once: each runs in a fork of a process that has it."""

# Those of a plug-in by the name of their module.
SMALL = {  # the longest first, so that nothing long is left at the end
    "methods": ["--study", "smoke", "--sets", "cranfield"],
    "attention_profile": ["--documents", "4", "--memory", "4"],
    "plugins.serve.benchmarks.serve_load": [
        *["--graph", str(ROOT / "plugins" / "serve" / "benchmarks" / "small.yaml")],
        *["--requests", "1", "--clients", "1", "--sources", str(ROOT / "examples" / "corpus" / "people")],
    ],
    "graph_overhead": ["--runs", "100"],
    "bm25_quality": ["xquad/zh"],
    "bm25_speed": ["--rounds", "2"],
    "dense_quality": ["scifact", "--limit", "120"],
    "dense_speed": ["--documents", "4", "--rounds", "1"],
    "fusion": ["codebase-chunks", "--limit", "10"],
    "rare_words": ["adi", "--n", "5", "--work", "runs/rare_smoke"],
    "function_words": ["codebase-chunks", "--limit", "5", "--work", "runs/function_words_smoke"],
    "misspelt": ["codebase-chunks", "--limit", "5", "--work", "runs/misspelt_smoke"],
    "clause_markers": ["musique-100"],
    "fusion_cost": ["--passages", "300", "--questions", "3", "--work", "runs/fusion_cost_smoke"],
    "chunking": ["time", "--limit", "20", "--ways", "semantic"],
    "indexing": ["docs-python", "--legs", "lexical", "--limit", "20"],
    "icr_cost": ["--documents", "6", "--repeats", "1"],
    "icr_quality": ["scifact", "--limit", "1", "--depth", "3", "--timed", "1"],
    "reproduce_icr": [
        *["scifact", "--limit", "1", "--depth", "3", "--model", "smollm2-135m-instruct"],
        *["--work", "runs/reproduce_icr_smoke.jsonl"],
    ],
    "attention": [
        *["alone", "fused", "icr-shuffled", "yes-no", "--sets", "cranfield", "cosqa", "--limit", "1", "--depth", "6"],
        *["--work", "runs/attention_smoke.jsonl"],
    ],
    "which_reranker": [
        *["cosine, MiniLM", "attention, 135M", "--sets", "cranfield", "--limit", "1"],
        *["--work", "runs/which_reranker_smoke.jsonl"],
    ],
    "plugins.train.benchmarks.attention_sizes": [
        *["--models", "smollm2-135m-instruct", "--sets", "cranfield", "codebase-chunks"],
        *["--limit", "2", "--depth", "4", "--report", "3", "--work", "runs/sizes_smoke"],
    ],
    "plugins.media.benchmarks.beside_text": ["adi", "--limit", "4"],
    "plugins.media.benchmarks.composed": ["--limit", "6"],
    "plugins.media.benchmarks.found_by_words": ["--limit", "8"],
    "plugins.media.benchmarks.many_pictures": ["--pictures", "8", "--questions", "10", "--seconds", "0.1"],
    "plugins.media.benchmarks.speech": ["--limit", "1"],
    "plugins.media.benchmarks.methods": [
        *[
            "policy",
            "parts",
            "binding",
            "geometry",
            "memory",
            "alignment",
            "tokens",
            "postings",
            "signals",
            "anchored",
            "--limit",
            "12",
        ]
    ],
    "plugins.train.benchmarks.tower_losses": ["--steps", "2", "--seeds", "1", "--limit", "12"],
    "plugins.train.benchmarks.captions": ["--steps", "2", "--seeds", "1", "--limit", "12"],
    "plugins.train.benchmarks.mixed": ["--steps", "2", "--seeds", "1", "--limit", "12"],
    "plugins.train.benchmarks.labelling": ["--rounds", "2", "--draws", "1", "--limit", "20"],
    "plugins.train.benchmarks.leg_weights": ["adi", "--limit", "5", "--work", "runs/legs_smoke"],
    "token_bits": ["codebase-chunks", "--limit", "5", "--work", "runs/token_bits_smoke"],
    "legs_build": ["--documents", "8", "--rounds", "1"],
    "late_interaction": ["adi", "--queries", "5", "--rounds", "1", "--work", "runs/late_smoke"],
    "attention_latency": ["--documents", "6", "--queries", "1", "--growth", "6", "12"],
    "attention_invariance": ["--documents", "3", "--queries", "1"],
    "first_hour": ["--folder", str(ROOT / "examples" / "corpus"), "--n", "1", "--model", "smollm2-135m-instruct"],
    "mangled_copies": ["xquad/en", "--n", "1", "--model", "smollm2-135m-instruct"],
    "highlights": ["xquad/en", "--n", "2", "--model", "smollm2-135m-instruct"],
    "read_in_time": ["xquad/en", "--rooms", "200", "--limit", "4", "--model", "smollm2-135m-instruct"],
    "cut_rows": ["adi", "--limit", "4", "--work", "runs/cut_rows_smoke"],
    "everyday": ["--megabytes", "1", "--runs", "1", "--only", "search", "served", "text", "table"],
    "hidden_instructions": ["--limit", "3"],
    "sharing": ["--queries", "1", "--depth", "2", "--rounds", "1", "--methods", "yes or no", "setwise, heapsort"],
    "cited_answers": ["--limit", "1", "--passages", "2", "--closed-book", "--model", "smollm2-135m-instruct"],
    "verdicts": ["words", "encoder", "attention", "--wice", "2", "--ramdocs", "2"],
    "plugins.recipes.benchmarks.backtracing": [
        *["bm25", "dense", "single", "causal", "--sets", "news", "--n", "2", "--model", "smollm2-135m-instruct"],
        *["--work", "runs/backtracing_smoke.jsonl"],
    ],
    "plugins.lab.benchmarks.own_questions": [
        *["cranfield", "--n", "1", "--model", "smollm2-135m-instruct", "--engine", "transformers"],
        *["--work", "runs/own_questions_smoke"],
    ],
    "plugins.lab.benchmarks.judges": [
        *["--n", "1", "--nuggets", "1", "--model", "smollm2-135m-instruct", "--engine", "transformers"],
        *["--out", "runs/judges_smoke"],
    ],
    "claims": ["--model", "smollm2-135m-instruct", "--engine", "transformers", "--n", "4"],
    "plugins.train.benchmarks.relevance": ["--n", "8"],
    "plugins.train.benchmarks.teaching": [
        *["sparse", "adi", "--steps", "2", "--batch", "4", "--ways", "3", "--max-tokens", "32", "--own", "60"],
        *["--tellings", "1", "--limit", "5", "--work", "runs/teaching_smoke"],
    ],
    "encoder_choice": ["cosqa", "--limit", "5", "--work", "runs/encoder_choice_smoke"],
    "second_encoder": ["cosqa", "--limit", "5", "--work", "runs/encoder_choice_smoke"],
    "own_fit": ["xquad/zh", "--encoder", "all-minilm-l6-v2", "--limit", "20", "--work", "runs/own_fit_smoke"],
    "languages": ["xquad/zh"],
    "mixed_languages": ["even", "--limit", "20"],
    "mixed_defaults": ["apart", "--limit", "5"],
    "long_table": ["--rows", "0", "40", "--prose", "5"],
    "plugins.train.benchmarks.bitext": ["de", "--limit", "30"],
    "backbones": [
        "all-minilm-l6-v2",
        "--axes",
        "instructions",
        "--size",
        "0.05",
        "--work",
        "runs/backbones_smoke.jsonl",
    ],
    "decoder_encoders": ["codebase-chunks", "--documents", "8", "--queries", "2", "--tokens", "16"],
    "sparse_speed": ["windows", "--passages", "200", "--queries", "4", "--rounds", "1", "--work", "runs/sparse_smoke"],
    "plugins.lab.benchmarks.leaderboard": [
        *["adi", "--limit", "5"],
        *["--work", "runs/legs_smoke", "--out", "runs/leaderboard_smoke"],
    ],
    "plugins.recipes.benchmarks.promptreps": ["adi", "--limit", "5", "--work", "runs/promptreps_smoke"],
    "plugins.recipes.benchmarks.mentions": [
        *["name", "read", "--types", "product", "--most", "16", "--model", "scripted"],
        *["--work", "runs/mentions_smoke.jsonl"],
    ],
    "plugins.recipes.benchmarks.forecasts": ["--n", "2", "--model", "scripted", "--work", "runs/forecasts_smoke.jsonl"],
    "plugins.recipes.benchmarks.multi_step": [
        *["--sets", "pubmedqa", "musique-100", "--n", "2", "--model", "scripted"],
        *["--work", "runs/multi_step_smoke.jsonl"],
    ],
    "plugins.recipes.benchmarks.relations": [
        *["majority", "nearest-1", "found-1", "--n", "1", "--searched", "200", "--model", "smollm2-135m-instruct"],
        *["--work", "runs/relations_smoke.jsonl"],
    ],
    "conversation": ["--n", "2", "--model", "scripted", "--work", "runs/conversation_smoke.jsonl"],
    "counting": ["--n", "2", "--model", "scripted", "--work", "runs/counting_smoke.jsonl"],
    "counting_asked": ["--limit", "2", "--model", "scripted", "--work", "runs/counting_smoke_asked.jsonl"],
    "checked_hyde": ["cranfield", "--n", "2", "--model", "scripted", "--work", "runs/checked_hyde_smoke.jsonl"],
    "plugins.recipes.benchmarks.filters_read": ["cacm", "versions", "--limit", "20", "--work", "runs/filters_smoke"],
    "plugins.train.benchmarks.code_graphs": ["--limit", "5", "--seeds", "0", "--nodes", "all-minilm-l6-v2"],
    "plugins.train.benchmarks.soft_prompts": [
        *["--set", "adi", "--documents", "2", "--epochs", "1", "--words", "12", "--limit", "3"],
    ],
    "plugins.train.benchmarks.context_prediction": ["all-minilm-l6-v2", "--limit", "5", "--steps", "3", "--seeds", "0"],
    "plugins.train.benchmarks.modular": [
        "--encoder",
        "all-minilm-l6-v2",
        "--limit",
        "5",
        "--steps",
        "1",
        "--tokens",
        "16",
    ],
    "plugins.recipes.benchmarks.code_switch": ["de", "--limit", "10", "--ways", "plain", "switched"],
    "plugins.recipes.benchmarks.persuasion": [
        *["--n", "2", "--pairs", "2", "--model", "scripted", "--work", "runs/persuasion_smoke.jsonl"],
    ],
    "plugins.recipes.benchmarks.snippets": ["--n", "2", "--model", "scripted", "--work", "runs/snippets_smoke.jsonl"],
    "plugins.recipes.benchmarks.expanded": ["--n", "2", "--model", "scripted", "--work", "runs/expanded_smoke.jsonl"],
    "plugins.recipes.benchmarks.typed": ["--n", "2", "--model", "scripted", "--work", "runs/typed_smoke.jsonl"],
    "plugins.recipes.benchmarks.walks": ["--n", "2", "--model", "scripted", "--work", "runs/walks_smoke.jsonl"],
    "recipes": ["walks", "--n", "1", "--model", "scripted", "--work", "runs/recipes_smoke"],
    "plugins.recipes.benchmarks.stride": [
        *["--texts", "1", "--words", "32", "--before", "16"],
        *["--work", "runs/stride_smoke.jsonl"],
    ],
    "legs": ["codebase-chunks", "--legs", "bm25", "sparse", "--limit", "10"],
    "misleading": [
        *["closed", "oracle", "misleading", "mixed", "vote-relevance", "vote-agreement", "--limit", "1"],
        *["--model", "scripted", "--work", "runs/misleading_smoke.jsonl"],
    ],
    "engines": [
        *["llama.cpp", "--questions", "2", "--alone", "1", "--tokens", "4", "--model", "smollm2-135m-instruct"],
    ],
    "plugins.train.benchmarks.risk": [
        *["answer", "xquad", "--n", "2", "--model", "smollm2-135m-instruct"],
        *["--lines", "runs/risk_smoke.jsonl"],
    ],
    "million": [
        *["words", "door", "opening", "filters", "changes", "--passages", "300", "--queries", "4"],
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
    "plugins.servers.benchmarks.index_servers": ["adi", "--limit", "4"],
}

SAME_INDEX = {
    "counting_asked": "plugins.recipes.benchmarks.forecasts",
    "conversation": "plugins.recipes.benchmarks.multi_step",
    "counting": "plugins.recipes.benchmarks.forecasts",
    "plugins.recipes.benchmarks.expanded": "plugins.recipes.benchmarks.multi_step",
    "plugins.recipes.benchmarks.snippets": "plugins.recipes.benchmarks.multi_step",
    "plugins.recipes.benchmarks.typed": "plugins.recipes.benchmarks.multi_step",
}
"""Benchmark -> one that builds the same index, behind which it runs: an index is built by one process at a time."""


WHOLE = frozenset({"adi", "bioasq-snippets", "docs-python", "pubmedqa", "time", "xquad"})
"""Sets whose documents a benchmark draws by chance, holds against figures that are of all of them, or keeps some apart of."""


def folder(name: str) -> str:
    """Return the work folder of a benchmark; its name, where it has none of its own."""
    name = SAME_INDEX.get(name, name)
    arguments = SMALL[name]
    return arguments[arguments.index("--work") + 1] if "--work" in arguments else name


def run(names: list[str], place: Path, free: SimpleQueue[set[int]]) -> list[str]:
    """Run benchmarks one after the other, each in a process of its own, and return those that failed."""
    failed, cores = [], free.get()
    for name in names:
        begun = perf_counter()
        said = place / f"{name}.txt"
        process = PROCESSES.Process(target=run_one, args=(name, place, said, cores))
        process.start()
        process.join()
        print(
            f"{name.rpartition('.')[2]:<20} {'FAILED' if process.exitcode else 'ok'} {perf_counter() - begun:6.1f} s",
            flush=True,
        )
        if process.exitcode:
            failed.append(name)
            print(said.read_text(errors="replace")[-6000:], flush=True)
    free.put(cores)
    return failed


def run_one(name: str, place: Path, said: Path, cores: set[int]) -> None:
    """Run a benchmark in this process, as its command would, on some of the cores; what it says goes to a file."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    with said.open("wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.chdir(place)
    os.environ["RAGLINE_EVAL_DATA"] = str(place / "data")
    memory.START = "fork"
    sys.argv[1:] = SMALL[name]
    module = name if "." in name else f"benchmarks.{name}"
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> int:
    """Run all; return 1 if one failed."""
    if not os.environ.get("RAGLINE_EVAL_DATA"):
        print("benchmarks: not run, RAGLINE_EVAL_DATA does not name a folder of evaluation sets")
        return 0
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    chains: dict[str, list[str]] = defaultdict(list)
    for name in SMALL:
        chains[folder(name)].append(name)
    # Each has cores of its own: an engine starts a thread for every core that it may use, and those of two engines on one core
    # spend most of their time waiting for one another.
    free: SimpleQueue[set[int]] = SimpleQueue()
    usable = usable_core_ids()
    for at in range(2):
        free.put(set(usable[at::2]) or set(usable))
    with tempfile.TemporaryDirectory() as made, ThreadPoolExecutor(2) as pool:
        place = Path(made)
        small_data.copy(data_folder(), place / "data", whole=WHOLE)
        failed = [name for some in pool.map(partial(run, place=place, free=free), chains.values()) for name in some]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
