"""Seconds of searches that are asked in turns, and the memory of the process. It needs no library: what stands beside ragline
imports it in an interpreter of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

TURNS = 3


def timed(search: Callable[[int], object], n: int) -> dict[str, float]:
    """p50 and p95, in seconds, of the fastest turn of each of `n` queries.

    A query comes again when all others have been asked, so that what it read has left the processor's own memory.
    """
    return middle_and_slow([one_turn(search, n) for _ in range(TURNS)])


def one_turn(search: Callable[[int], object], n: int, clock: str = "perf_counter") -> list[float]:
    """Seconds of each of `n` queries. `clock`: a function of `time`."""
    now, seconds = getattr(time, clock), []
    for place in range(n):
        begun = now()
        search(place)
        seconds.append(now() - begun)
    return seconds


def middle_and_slow(turns: Sequence[Sequence[float]]) -> dict[str, float]:
    """p50 and p95 of the fastest turn of each query."""
    best = sorted(map(min, zip(*turns)))  # noqa: B905 - of an interpreter of any age
    return {"p50_s": best[len(best) // 2], "p95_s": best[int(len(best) * 0.95)]}


def peak_bytes() -> int:
    """The most that was resident. `ru_maxrss` begins with that of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
