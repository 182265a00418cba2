"""Seconds of searches that are asked in turns, and the memory of the process. It needs no library: what stands beside ragline
imports it in an interpreter of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

TURNS = 3


def timed(search: Callable[[int], object], n: int) -> dict[str, float]:
    """p50 and p95, in seconds, of the fastest turn of each of `n` queries.

    A query comes again when all others have been asked, so that what it read has left the processor's own memory.
    """
    best = [float("inf")] * n
    for _ in range(TURNS):
        for place in range(n):
            begun = perf_counter()
            search(place)
            best[place] = min(best[place], perf_counter() - begun)
    best.sort()
    return {"p50_s": best[n // 2], "p95_s": best[int(n * 0.95)]}


def peak_bytes() -> int:
    """The most that was resident. `ru_maxrss` begins with that of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
