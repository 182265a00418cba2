"""Ends engine processes whose program was killed: `python vllm_guard.py PARENT ENGINE...`, run as a process of its own.

vLLM's engine outlives a program that ends by SIGKILL or for want of memory, and keeps what it holds. This looks once a
second whether the program is still there. It needs Linux's /proc; elsewhere it ends at once and guards nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

PROC = Path("/proc")


def born(process: int) -> str:
    """When a process began, as the kernel counts; empty if there is none. With the number it names one process."""
    try:
        after_name = (PROC / str(process) / "stat").read_text().rpartition(")")[2]
    except OSError:
        return ""
    return after_name.split()[19]


def family(process: int) -> list[int]:
    """A process and all that descend from it."""
    processes = [process]
    for tasks in (PROC / str(process) / "task").glob("*/children"):
        try:
            children = tasks.read_text().split()
        except OSError:
            continue
        for child in children:
            processes += family(int(child))
    return processes


def guard(parent: int, engines: list[int]) -> None:
    """Wait for the parent's end, then end the engines that are still those of the beginning."""
    births = {engine: born(engine) for engine in engines}
    if not PROC.is_dir():
        return
    while os.getppid() == parent:
        time.sleep(1.0)
    for engine, birth in births.items():
        if birth and born(engine) == birth:
            for process in family(engine):
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue


if __name__ == "__main__":
    guard(int(sys.argv[1]), [int(process) for process in sys.argv[2:]])
