"""Memory that requests have left, given back to the system."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

_WORTH = 64 * 2**20
"""Bytes of requests after which it is done: some ten milliseconds in which nothing else is done."""
_AFTER_S = 1.0
"""Later than the last of a burst, and late enough for whoever still looks at a request that has failed."""


def _trimmer() -> Callable[[int], int] | None:
    """glibc's malloc_trim; another C library has none, and most of those give memory back by themselves."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda keep: int(trim(keep))


class Freed:
    """Counts the bytes of requests that ended, and has the allocator give back what it keeps of many of them.

    It keeps pieces of bodies for later ones, for good, where anything small was put behind them. Use it from one event loop.
    """

    def __init__(self) -> None:
        self._trim, self._n_bytes = _trimmer(), 0
        self._planned: asyncio.TimerHandle | None = None

    def add(self, n_bytes: int) -> None:
        """So many bytes have been let go."""
        self._n_bytes += n_bytes
        if self._trim is not None and self._planned is None and self._n_bytes >= _WORTH:
            self._planned = asyncio.get_running_loop().call_later(_AFTER_S, self._give_back, self._trim)

    def _give_back(self, trim: Callable[[int], int]) -> None:
        self._planned, self._n_bytes = None, 0
        trim(0)
