"""Encodes a corpus so that a killed run goes on where it stopped, and unchanged texts are not encoded again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress, silent
from retrievers.index.reserved import reserved_array

if TYPE_CHECKING:
    from retrievers.encoders import SentenceEncoder

_VECTORS = "vectors.npy"
_UNFINISHED = ".unfinished"


def encode_units(
    texts: Sequence[str],
    *,
    encoder: SentenceEncoder,
    work: Path,
    reuse: Mapping[bytes, NDArray[np.float32]] | None = None,
    shard: int = 1024,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Encode `texts` as documents, each different text once.

    Every `shard` texts their vectors are written to `work`, under a name made from the encoder's description and the
    file's content. A later run takes from there what it needs, whatever the texts around it are; files of
    another encoder and damaged files are not used. In memory: one shard, and about 250 bytes per text.

    Args:
        work: a folder that no other run uses; it holds the shards and the result, and may be deleted afterwards.
        reuse: sha256 of a text's UTF-8 -> its vector by the same encoder, such as those of the index before.
        progress: called as ("encode", texts done, texts in all).
    Returns:
        float32 [n, dim], memory-mapped from `work`.
    """
    if shard < 1:
        raise ValueError(f"encode_units: shard must be at least 1, got {shard}")
    work.mkdir(parents=True, exist_ok=True)
    vectors = _empty(work / _VECTORS, len(texts), encoder.dim)
    first_row, repeats = _by_digest(texts)
    done = len(repeats)

    wanted = dict(first_row)
    for digest, vector in _known(wanted, reuse or {}, _finished(work, encoder)):
        vectors[wanted.pop(digest)] = vector
        done += 1
    if done:
        progress("encode", done, len(texts))

    rows = sorted(wanted.values())
    for start in range(0, len(rows), shard):
        part = rows[start : start + shard]
        chosen = [texts[row] for row in part]
        found = encoder.encode(chosen, role="document")
        _write_shard(work, encoder, [digest_of(text) for text in chosen], found)
        vectors[part] = found
        progress("encode", done + start + len(part), len(texts))
    for row, first in repeats.items():
        vectors[row] = vectors[first]
    return vectors


def digest_of(text: str) -> bytes:
    """sha256 of a text's UTF-8; a lone surrogate counts as itself."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _by_digest(texts: Sequence[str]) -> tuple[dict[bytes, int], dict[int, int]]:
    """Digest -> its first row, and repeated row -> first row of the same text."""
    first_row: dict[bytes, int] = {}
    repeats: dict[int, int] = {}
    for row, text in enumerate(texts):
        first = first_row.setdefault(digest_of(text), row)
        if first != row:
            repeats[row] = first
    return first_row, repeats


def _empty(path: Path, n: int, dim: int) -> NDArray[np.float32]:
    if n == 0:  # nothing cannot be mapped
        return np.zeros((0, dim), dtype=np.float32)
    return reserved_array(path, (n, dim))


def _known(
    wanted: Mapping[bytes, int],
    reuse: Mapping[bytes, NDArray[np.float32]],
    finished: Mapping[bytes, tuple[NDArray[np.float32], int]],
) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
    for digest in list(wanted):
        if digest in finished:
            vectors, row = finished[digest]
            yield digest, vectors[row]
        elif digest in reuse:
            yield digest, reuse[digest]


def _fingerprint(encoder: SentenceEncoder) -> str:
    described = json.dumps(encoder.describe(), sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _record(dim: int) -> np.dtype[Any]:
    return np.dtype([("digest", "u1", (32,)), ("vector", "<f4", (dim,))])


def _write_shard(work: Path, encoder: SentenceEncoder, digests: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
    records = np.empty(len(digests), dtype=_record(vectors.shape[1]))
    records["digest"] = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)
    records["vector"] = vectors
    content = hashlib.sha256(records.tobytes()).hexdigest()
    unfinished = work / f"{content}{_UNFINISHED}"
    with unfinished.open("wb") as file:
        np.save(file, records, allow_pickle=False)
    os.replace(unfinished, work / f"{_fingerprint(encoder)}-{content}.npy")


def _finished(work: Path, encoder: SentenceEncoder) -> dict[bytes, tuple[NDArray[np.float32], int]]:
    """Digest -> vectors and row in them, of all good shards of this encoder; the vectors stay on disk."""
    for leftover in work.glob(f"*{_UNFINISHED}"):
        leftover.unlink()
    finished: dict[bytes, tuple[NDArray[np.float32], int]] = {}
    for path in sorted(work.glob(f"{_fingerprint(encoder)}-*.npy")):
        records = _read_shard(path, _record(encoder.dim))
        if records is None:
            path.unlink()
            continue
        for row, digest in enumerate(records["digest"]):
            finished[digest.tobytes()] = (records["vector"], row)
    return finished


def _read_shard(path: Path, record: np.dtype[Any]) -> NDArray[Any] | None:
    """The records, or None if the file is not what its name says."""
    try:
        records: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    content = hashlib.sha256(records.tobytes()).hexdigest()
    return records if records.dtype == record and path.stem.endswith(content) else None
