"""Rows of a server read in blocks: whoever goes through them one by one asks once for each block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

BLOCK = 500

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Something of each row. The last block is kept. Safe to share between threads."""

    def __init__(self, fetch: Callable[[Sequence[int]], Mapping[int, T]], n: int) -> None:
        self._fetch, self._n = fetch, n
        self._block: Mapping[int, T] = {}
        self._lock = threading.Lock()

    def __getitem__(self, row: int) -> T:
        with self._lock:
            if row not in self._block:
                first = row - row % BLOCK
                self._block = self._fetch(range(first, min(first + BLOCK, self._n)))
            return self._block[row]
