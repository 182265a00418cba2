"""Where `rerank.attention` spends its time and memory, cold: the share outside matrix products, and peak memory by depth.

Time is self time by torch's profiler, cold, over Cranfield candidates of at most 128 tokens; matrix products are linear
layers and attention. Memory is the growth of a fresh process's highest resident size over what it held with the model
loaded and warm. `--compiled` shows beside it what `compiled: true` gives; it needs a C++ compiler.

    RAGLINE_EVAL_DATA=... python -m benchmarks.attention_profile [--documents 40] [--memory 20 80 320] [--compiled] [--record]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

from benchmarks import memory
from benchmarks.attention_latency import median_of, seconds
from benchmarks.first_stage import prepare
from benchmarks.icr_cost import default_llm
from benchmarks.record import Record, record
from rag.core.protocols import LocalLLM
from rag.core.types import Ranking
from rerankers.attention.reranker import AttentionReranker

PRODUCTS = (
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
    "aten::baddbmm",
    "aten::matmul",
    "mkldnn",
    "scaled_dot_product",
    "_flash_attention",
)
REPEATS = 7


def candidates(depth: int) -> Ranking:
    [ranking] = prepare("cranfield", depth=depth, limit=1).rankings
    return ranking


def warmed(llm: LocalLLM, ranking: Ranking, *, compiled: bool = False) -> AttentionReranker:
    reranker = AttentionReranker(llm=llm, keep="nowhere", compiled=compiled)
    reranker.rerank([replace(ranking, hits=ranking.hits[:2])], k=2)
    return reranker


def time_shares(reranker: AttentionReranker, ranking: Ranking) -> tuple[float, list[tuple[str, float]]]:
    """Share of self time outside matrix products, and the ten largest operators with their shares."""
    from torch.profiler import ProfilerActivity, profile

    reranker.rerank([ranking], k=10)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        reranker.rerank([ranking], k=10)
    spent = {event.key: float(event.self_cpu_time_total) for event in found.key_averages()}
    whole = sum(spent.values())
    products = sum(time for name, time in spent.items() if any(part in name for part in PRODUCTS))
    largest = sorted(spent.items(), key=lambda pair: -pair[1])[:10]
    return 1 - products / whole, [(name, time / whole) for name, time in largest]


def resident_mb() -> float:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@contextmanager
def watched() -> Iterator[list[float]]:
    """Within, the resident size is looked at every five milliseconds; the list holds the highest, in MB."""
    highest, done = [resident_mb()], Event()

    def watch() -> None:
        while not done.wait(0.005):
            highest[0] = max(highest[0], resident_mb())

    thread = Thread(target=watch)
    thread.start()
    try:
        yield highest
    finally:
        done.set()
        thread.join()


def _grow(model: str, documents: int, out: Queue[float]) -> None:
    ranking = candidates(documents)
    reranker = warmed(default_llm(model), ranking)
    before = resident_mb()
    with watched() as highest:
        reranker.rerank([ranking], k=10)
    out.put(highest[0] - before)


def memory_growth(model: str, documents: int) -> float:
    """MB by which a fresh process grows over one cold reranking."""
    context = multiprocessing.get_context(memory.START)
    out: Queue[float] = context.Queue()
    process = context.Process(target=_grow, args=(model, documents, out))
    process.start()
    grown = out.get(timeout=600)
    process.join()
    return grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--memory", type=int, nargs="*", default=[20, 80, 320], help="depths whose memory is measured")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--compiled", action="store_true", help="the same once more with compiled layers")
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/attention_profile.jsonl")
    options = parser.parse_args()
    # Before this process has what a fork would share.
    grown = {n: memory_growth(options.model, n) for n in options.memory}
    ranking, llm = candidates(options.documents), default_llm(options.model)
    reranker = warmed(llm, ranking)
    outside, largest = time_shares(reranker, ranking)
    print(f"{outside:.1%} of the time is spent outside matrix products")
    for name, share in largest:
        print(f"  {share:6.1%}  {name}")
    found: dict[str, float] = {"outside_products": round(outside, 4)}
    if options.compiled:
        started = perf_counter()
        quicker = warmed(llm, ranking, compiled=True)
        seconds(quicker, ranking)
        first = perf_counter() - started
        eager, compiled = (median_of(each, [ranking] * REPEATS) for each in (reranker, quicker))
        outside, _ = time_shares(quicker, ranking)
        print(
            f"compiled: {eager / compiled:.2f} times as fast, {outside:.1%} outside products, first calls {first:.1f} s"
        )
        found |= {"compiled_ratio": round(eager / compiled, 3), "compiled_outside": round(outside, 4)}
        found |= {"compiled_first_s": round(first, 1)}
    for n, mb in grown.items():
        print(f"{n:>4} documents: peak memory grows by {mb:.0f} MB, {mb / n:.2f} MB a document")
    if options.record:
        by_depth = {str(n): round(mb, 1) for n, mb in grown.items()}
        settings = {"documents": options.documents, "model": options.model}
        record("attention_profile", {**settings, **found, "peak_growth_mb": by_depth})


if __name__ == "__main__":
    main()
