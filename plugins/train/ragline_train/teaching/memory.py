"""What training takes of memory and time, by doing a step of it, and a telling, before the others."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """`n_bytes`: that the process holds at most while it works. `seconds`: of one step."""

    n_bytes: int
    seconds: float


def tried(step: Callable[[], None], asked: Callable[[], object], *, parameters: int) -> Trial:
    """A step without the optimizer, twice, and what the optimizer adds: two float32 numbers of each parameter (Adam's moments).

    Gradients are there after the first step, so that the second one's peak holds all but the moments.

    Args:
        asked: asks about questions kept apart, which reads passages whole and may hold more than a step does.
        parameters: how many are trained.
    """
    step()
    if _CLEAR.exists():
        _CLEAR.write_text("5")  # the peak so far is forgotten
    begun = perf_counter()
    step()
    seconds = perf_counter() - begun
    asked()
    return Trial(n_bytes=peak_bytes() + 8 * parameters, seconds=seconds)


def peak_bytes() -> int:
    """Of this process since it was last forgotten, where the system tells; else since it began."""
    if _STATUS.exists() and (match := re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())):
        return 1024 * int(match[1])
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
