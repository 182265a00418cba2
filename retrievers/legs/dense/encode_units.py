"""Encodes a corpus so that a killed run goes on where it stopped, and unchanged texts are not encoded again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress, silent
from retrievers.encoders.sentence_folder import Role
from retrievers.stores.arrays import load_array
from retrievers.stores.computed import Apply, Columns, Compute, Computed, in_this_process
from retrievers.stores.reserved import reserved_array
from retrievers.stores.reuse import RowsByText

_VECTORS = "vectors.npy"


class DescribedEncoder(Protocol):
    """An encoder that says what decides its vectors."""

    @property
    def dim(self) -> int: ...
    def describe(self) -> dict[str, Any]: ...
    def encode(self, texts: Sequence[str], *, role: Role) -> NDArray[np.float32]: ...


class PreviousVectors:
    """sha256 of a text -> its vector by the same encoder, float32 [dim]. Holds 40 bytes per text, and no vectors."""

    def __init__(self, texts: Sequence[str], vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> None:
        self._rows, self._vectors = RowsByText(texts), vectors

    @classmethod
    def kept(cls, texts: Sequence[str], file: Path) -> PreviousVectors:
        """Vectors that an array file keeps, by row."""
        vectors = load_array(file)
        return cls(texts, lambda rows: vectors[rows])

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._rows

    def __getitem__(self, digest: bytes) -> NDArray[np.float32]:
        row = self._rows.row(digest)
        if row is None:
            raise KeyError(digest)
        vector: NDArray[np.float32] = self._vectors(np.array([row]))[0]
        return vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """float32 [n, dim], how many texts of it the generation before had, and how many were encoded now."""

    vectors: NDArray[np.float32]
    n_reused: int
    n_encoded: int


def encode_units(
    texts: Sequence[str],
    *,
    encoder: DescribedEncoder,
    work: Path,
    reuse: Mapping[bytes, NDArray[np.float32]] | PreviousVectors | None = None,
    shard: int = 1024,
    apply: Apply = in_this_process,
    compute: Compute | None = None,
    progress: Progress = silent,
) -> Encoded:
    """Encode `texts` as documents, each different text once.

    Every `shard` texts their vectors are kept in `work` (see `retrievers.stores.computed`). A later run takes from there
    what it needs, whatever the texts around it are; what another encoder made, and damaged files, are not used.

    Args:
        work: a folder that no other run uses; it holds the shards and the result, and may be deleted afterwards.
        reuse: sha256 of a text's UTF-8 -> its vector by the same encoder, such as those of the index before.
        apply: how shards are encoded, such as by other processes.
        compute: what gives the vectors of a shard, where not `encode_block` by the encoder.
        progress: called as ("encode", texts done, texts in all).
    Returns:
        The vectors memory-mapped from `work`.
    """
    if shard < 1:
        raise ValueError(f"encode_units: shard must be at least 1, got {shard}")
    work.mkdir(parents=True, exist_ok=True)
    vectors = _empty(work / _VECTORS, len(texts), encoder.dim)
    known = {} if reuse is None else reuse
    store = Computed(work, made_by=encoder.describe())
    digests, n_encoded = store.complete(
        texts,
        compute or partial(encode_block, encoder),
        block=shard,
        apply=apply,
        known=known.__contains__,
        step="encode",
        progress=progress,
    )
    first_row: dict[bytes, int] = {}
    n_reused = 0
    for row, digest in enumerate(digests):
        first = first_row.setdefault(digest, row)
        if first != row:
            vectors[row] = vectors[first]
        elif digest in store:
            vectors[row] = store[digest]["vector"]
        else:
            vectors[row] = known[digest]
            n_reused += 1
    return Encoded(vectors=vectors, n_reused=n_reused, n_encoded=n_encoded)


def encode_block(encoder: DescribedEncoder, texts: list[str]) -> Columns:
    """The vectors of texts, as a shard keeps them."""
    return {"vector": encoder.encode(texts, role="document")}


def _empty(path: Path, n: int, dim: int) -> NDArray[np.float32]:
    if n == 0:  # nothing cannot be mapped
        return np.zeros((0, dim), dtype=np.float32)
    return reserved_array(path, (n, dim))
