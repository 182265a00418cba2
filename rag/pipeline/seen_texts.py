"""Which texts have been seen, for files too long to remember the texts themselves."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


class Digests:
    """A set of texts that keeps 16 bytes of each one's hash: that any two of a billion are taken for one has odds of 1e-21."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._kept: set[bytes] = set()
        self.update(texts)

    def add(self, text: str) -> None:
        self._kept.add(_digest(text))

    def update(self, texts: Iterable[str]) -> None:
        self._kept.update(map(_digest, texts))

    def __contains__(self, text: str) -> bool:
        return _digest(text) in self._kept

    def __len__(self) -> int:
        return len(self._kept)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
