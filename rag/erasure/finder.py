"""Many stretches of bytes looked for at once, in bytes and in files of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from rag.core.lines import opened

_ANCHOR = 8
"""Bytes at the start of a stretch that are compared as one number."""
_BITS = 20
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 8 << 20


class Finder:
    """Finds stretches of 8 bytes and more wherever they begin.

    A table of a million marks says of each eight bytes whether some stretch may begin so; the few that may are compared.
    """

    def __init__(self, stretches: Iterable[bytes]) -> None:
        self._by_anchor: dict[bytes, list[bytes]] = {}
        self._longest = _ANCHOR
        for stretch in set(stretches):
            if len(stretch) < _ANCHOR:
                raise ValueError(f"a stretch needs at least {_ANCHOR} bytes, got {stretch!r}")
            self._by_anchor.setdefault(stretch[:_ANCHOR], []).append(stretch)
            self._longest = max(self._longest, len(stretch))
        self._table = np.zeros(1 << _BITS, dtype=np.bool_)
        self._table[_hashes(np.frombuffer(b"".join(self._by_anchor), dtype="<u8"))] = True

    def present(self, data: bytes) -> set[bytes]:
        """The stretches that are in `data`."""
        return {
            stretch
            for place in self._places(data)
            for stretch in self._by_anchor[data[place : place + _ANCHOR]]
            if data.startswith(stretch, place)
        }

    def in_file(self, path: Path) -> tuple[set[bytes], int]:
        """The stretches that are in a file, and how many bytes were read; what gzip packed is unpacked.

        Raises:
            OSError: it cannot be read.
        """
        stretches, n_bytes, tail = set[bytes](), 0, b""
        with opened(path) as file:
            while block := file.read(_BLOCK):
                n_bytes += len(block)
                data = tail + block
                stretches |= self.present(data)
                tail = data[-(self._longest - 1) :]
        return stretches, n_bytes

    def _places(self, data: bytes) -> Iterator[int]:
        """Where eight bytes are the first of some stretch."""
        for shift in range(min(_ANCHOR, len(data) - _ANCHOR + 1)):
            words = np.frombuffer(data, "<u8", count=(len(data) - shift) // _ANCHOR, offset=shift)
            possible = np.flatnonzero(self._table[_hashes(words)])
            for place in (possible * _ANCHOR + shift).tolist():
                if data[place : place + _ANCHOR] in self._by_anchor:
                    yield place


def _hashes(words: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return (words * _MIX) >> np.uint64(64 - _BITS)
