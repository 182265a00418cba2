"""The processor of this machine, and what it is good at. Imports torch where only that knows."""

from __future__ import annotations

import math
import os
import platform
import sys
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""One of these is there where a driver of a GPU is: NVIDIA's, AMD's, that of Windows below Linux."""


def may_have_gpu() -> bool:
    """False where no driver of a GPU is there; else torch knows. Looks at files alone, which costs nothing."""
    return not sys.platform.startswith("linux") or any(os.path.exists(file) for file in _GPU_FILES)


def bfloat16_pays() -> bool:
    """Whether matrix products are faster in bfloat16 than in float32.

    They are with AMX, and with AVX512-BF16 on AMD. Intel's processors without AMX (or with AMX hidden by a virtual
    machine) have the same instruction at a fraction of the rate: there bfloat16 took 1.6 times as long as float32.
    """
    if flags := _said("flags").split():  # torch takes a second to import
        amx, avx512 = "amx_tile" in flags, "avx512_bf16" in flags
    else:
        import torch

        amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
        avx512 = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return bool(amx or (avx512 and vendor() == "AuthenticAMD"))


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores by affinity and by the control group's quota, rounded up, at least 1.

    torch counts the machine's cores; in a container with a quota its threads would wait for one another.
    """
    cores = len(_allowed_cores())
    try:
        used, period = quota.read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(used) / int(period)))
    except (OSError, ValueError):  # no control group, or "max"
        pass
    return max(cores, 1)


def usable_core_ids() -> list[int]:
    """As many cores as are usable, by their numbers in the system, the lowest first."""
    return _allowed_cores()[: usable_cores()]


def _allowed_cores() -> list[int]:
    affinity = getattr(os, "sched_getaffinity", None)
    return sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))


@cache
def vendor() -> str:
    """What the processor calls its maker; empty where the system does not say."""
    return _said("vendor_id")


@cache
def processor_name() -> str:
    """What the processor calls itself, or the system calls it."""
    return _said("model name") or platform.processor() or platform.machine()


def _said(field: str) -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def multiplies_int8() -> bool:
    """Whether torch's matrix product of 8-bit whole numbers has instructions of its own here (AVX512-VNNI, AMX).

    Where it has none, it is a plain loop, many times slower than float32.
    """
    import torch

    if getattr(torch.cpu, "_is_amx_tile_supported", bool)():
        return True
    return bool(getattr(torch.cpu, "_is_vnni_supported", bool)())
