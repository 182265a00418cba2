"""Memory: what parts say they need, and how much a machine has. Knows no models and loads nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from rag.core.errors import SpecError

RAM = "RAM"
LIMIT = "RAGLINE_MEMORY_GIB"
"""Environment variable: GiB of RAM that a pipeline may count on, in place of what the machine says; `inf` for any."""

GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Memory that a part takes at most, once its work is as large as its parameters allow.

    `where`: RAM, or a GPU as torch names it. `copy`: needs that have this mark in common are one and the same memory,
    such as weights that two parts read. `mapped`: pages of files, which the system drops and reads again where memory
    is short: more of it is faster, none of it is needed. `smaller`: what would make it less, in words.
    """

    what: str
    n_bytes: int
    where: str = RAM
    copy: Hashable = None
    mapped: bool = False
    smaller: str = ""


@runtime_checkable
class TellsMemory(Protocol):
    """A model or a part of a graph that knows what it will need."""

    def memory(self) -> Sequence[Need]:
        """What it takes beside other parts. Loads and fetches nothing.

        Raises:
            MissingModel: its model is not here yet, so nobody knows.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Bytes that this process may have at most. `ram` is None where the system does not say; `said_by`: who set it."""

    ram: int | None
    said_by: str
    gpus: Mapping[str, int] = field(default_factory=dict)

    def room(self, where: str) -> int | None:
        """Bytes of RAM or of a GPU; None where nobody knows."""
        return self.ram if where == RAM else self.gpus.get(where)


def this_machine(*, memory_gib: float | None = None, gpus: Callable[[], Mapping[str, int]] | None = None) -> Machine:
    """RAM by the tightest control group or the hardware, and every GPU.

    Args:
        memory_gib: counts in place of the RAM that the machine has; None asks $RAGLINE_MEMORY_GIB.
        gpus: bytes by device; asked through torch where there is a driver.
    Raises:
        SpecError: $RAGLINE_MEMORY_GIB is no number above 0.
    """
    devices = (gpus or gpu_memory)()
    limit, said_by = (memory_gib, "memory_gib") if memory_gib is not None else (_from_environment(), LIMIT)
    if limit is not None:
        if not limit > 0:
            raise SpecError(f"{said_by} must be GiB above 0, or inf for no limit, got {limit}")
        return Machine(ram=None if math.isinf(limit) else int(limit * GIB), said_by=said_by, gpus=devices)
    ram, said_by = ram_limit()
    return Machine(ram=ram, said_by=said_by, gpus=devices)


def ram_limit(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> tuple[int | None, str]:
    """Bytes that this process may have, and who says so."""
    limits = [(size, "the control group") for size in _group_limits(proc, groups)]
    hardware = _physical(proc)
    if hardware:
        limits.append((hardware, "the hardware"))
    return min(limits, default=(None, "nobody"), key=lambda one: one[0])


def _group_limits(proc: Path, groups: Path) -> Iterator[int]:
    """Limits of this process's control group and of all that it lies in, versions 1 and 2."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, place = line.split(":", 2)
        if kinds == "":
            root, name = groups, "memory.max"
        elif "memory" in kinds.split(","):
            root, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        inside = Path(place.lstrip("/"))
        for folder in (inside, *inside.parents):
            try:
                yield int((root / folder / name).read_text(encoding="ascii"))
            except (OSError, ValueError):  # not shown in a container, or "max"
                continue


def _physical(proc: Path) -> int | None:
    try:
        lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemTotal:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


@cache
def gpu_memory() -> Mapping[str, int]:
    """Bytes of each GPU that torch can use, as "cuda:0" and so on. Without a driver torch is not even imported."""
    if not (Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()):
        return {}
    import torch

    return {
        f"cuda:{number}": int(torch.cuda.get_device_properties(number).total_memory)
        for number in range(torch.cuda.device_count())
    }


def place(device: str) -> str:
    """Where a torch device's memory is: RAM or "cuda:N"."""
    if device == "cpu":
        return RAM
    return "cuda:0" if device == "cuda" else device


def gib(n_bytes: float) -> str:
    """
    >>> gib(1.5 * 2**30), gib(300 * 2**20), gib(20_000)
    ('1.50 GiB', '300 MiB', '0 MiB')
    """
    return f"{n_bytes / GIB:,.2f} GiB" if n_bytes >= GIB else f"{n_bytes / (1 << 20):,.0f} MiB"


def _from_environment() -> float | None:
    text = os.environ.get(LIMIT, "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise SpecError(f"{LIMIT} must be GiB above 0, or inf for no limit, got {text!r}") from None
