"""Memory of a process, as the kernel counts it in /proc: Linux alone.

`ru_maxrss` is not read: a child that was started by a large process begins with that one's peak.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

_PROC = Path("/proc")
_EVERY_S = 0.05
START = "spawn"
"""How `alone` starts a process. To import all anew takes seconds: the small sizes, which keep no figure, have it forked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Of one process, in bytes. `peak`: the most that was resident since it began. The others: resident now. `mapped`: pages
    of files, libraries among them, which the system drops where it needs room. `anonymous`: all else."""

    peak: int
    anonymous: int
    mapped: int

    @property
    def resident(self) -> int:
        return self.anonymous + self.mapped


def memory_of(process: int | str = "self") -> Memory:
    """Raises OSError where there is no such process."""
    lines = (_PROC / str(process) / "status").read_text().splitlines()
    sizes = {
        name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest
    }
    if not sizes:  # it has ended, and nobody asked for its exit status yet
        return Memory(peak=0, anonymous=0, mapped=0)
    return Memory(peak=sizes["VmHWM"], anonymous=sizes["RssAnon"], mapped=sizes["RssFile"] + sizes["RssShmem"])


def alone() -> ProcessPoolExecutor:
    """A process whose memory is that of what it is given to do."""
    return ProcessPoolExecutor(1, mp_context=get_context(START))


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A command that has ended. `workers_peak_bytes`: the most that the processes which it started held at a time, all
    together; a page that two of them share counts twice. Seen every twentieth of a second, each from the second time on: one
    that is about to start a program still has the memory of the process that starts it."""

    output: str
    workers_peak_bytes: int


def watched(command: Sequence[str]) -> Watched:
    """Run a command and look at its memory meanwhile. Its standard error is that of this process.

    Raises:
        CalledProcessError: it failed.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, ended = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        before = frozenset[int]()
        while not ended.wait(_EVERY_S):
            there = _started_by(process.pid)
            peak = max(peak, sum(_resident(each) for each in there if each in before))
            before = frozenset(there)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        output, _ = process.communicate()
    finally:
        ended.set()
        looking.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Watched(output=output, workers_peak_bytes=peak)


def _started_by(process: int) -> list[int]:
    """All that come from a process."""
    try:
        threads = [*(_PROC / str(process) / "task").iterdir()]
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:  # it ended while it was looked at
        return []
    return [*children, *(each for child in children for each in _started_by(child))]


def _resident(process: int) -> int:
    try:
        return memory_of(process).resident
    except OSError:
        return 0
