"""Vectors of the generation before, by the digest of the text that they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrievers.index.documents import Documents, load_array

if TYPE_CHECKING:
    from retrievers.index.directory import Index

ENCODED = "encoded.npy"
"""Vectors as the encoder gave them: beside a leg that does not keep them exactly, for the next build alone."""


class PreviousVectors(Mapping[bytes, NDArray[np.float32]]):
    """sha256 of an index text -> its vector, float32 [dim]. Holds 40 bytes per unit, and no vectors."""

    def __init__(self, documents: Documents, vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> None:
        self.n_taken = 0
        digests = np.fromiter((_digest(text) for text in documents.index_texts), dtype="S32", count=len(documents))
        self._rows = np.argsort(digests, kind="stable")
        self._digests = digests[self._rows]
        self._vectors = vectors

    def __len__(self) -> int:
        return len(self._digests)

    def __iter__(self) -> Iterator[bytes]:
        return (bytes(digest).ljust(32, b"\0") for digest in self._digests)

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, bytes) and self._place(digest) is not None

    def __getitem__(self, digest: bytes) -> NDArray[np.float32]:
        place = self._place(digest)
        if place is None:
            raise KeyError(digest)
        self.n_taken += 1
        vector: NDArray[np.float32] = self._vectors(self._rows[place : place + 1])[0]
        return vector

    def _place(self, digest: bytes) -> int | None:
        wanted = np.bytes_(digest)
        place = int(np.searchsorted(self._digests, wanted))
        return place if place < len(self._digests) and self._digests[place] == wanted else None


def previous_vectors(previous: Index | None, encoder: Mapping[str, Any]) -> PreviousVectors | None:
    """All vectors of `previous` if the same encoder made it, else None."""
    if previous is None or previous.manifest.encoder != dict(encoder):
        return None
    if ENCODED not in previous.manifest.files:
        return PreviousVectors(previous.documents, previous.dense.vectors)
    encoded = load_array(previous.file(ENCODED))
    return PreviousVectors(previous.documents, lambda rows: encoded[rows])


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
