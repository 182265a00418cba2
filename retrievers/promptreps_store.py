"""Representations of all units of an index, made a block of units after the other, so that a killed build goes on.

A block is a file in the build's work folder, named by all that made it and by its content. What it holds is found by
text, so it serves a later build whatever else that build has to represent.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress, silent
from retrievers.index.encode_units import digest_of
from retrievers.promptreps_encoder import PromptRepsEncoder, Representations

BLOCK = 128
"""Units: what a killed build loses at most."""
_BLOCKS_AT_ONCE = 4

One = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]
"""Of one text: vector, tokens, weights."""


class Represented:
    """What is known of texts: by the index before, or by blocks that are finished.

    Args:
        previous: sha256 of a text -> its row in `before`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        made_by: Mapping[str, object],
        previous: Mapping[bytes, int],
        before: Representations | None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._previous, self._before = folder, previous, before
        self._made_by = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]
        self._places: dict[bytes, tuple[Path, int]] = {}
        self._block = lru_cache(maxsize=_BLOCKS_AT_ONCE)(_loaded)
        for file in sorted(folder.glob(f"{self._made_by}-*.npz")):
            self._take(file)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._places or digest in self._previous

    def one(self, digest: bytes) -> One:
        """The representation of a text that is known."""
        if digest in self._places:
            file, at = self._places[digest]
            return one_of(self._block(file)[1], at)
        assert self._before is not None
        return one_of(self._before, self._previous[digest])

    def add(self, digests: Sequence[bytes], block: Representations) -> None:
        """Keep a block, whole or not at all."""
        data = io.BytesIO()
        np.savez(
            data,
            digests=np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32),
            dense=block.dense,
            tokens=block.tokens,
            weights=block.weights,
            starts=block.starts,
        )
        content = data.getvalue()
        file = self._folder / f"{self._made_by}-{hashlib.sha256(content).hexdigest()}.npz"
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_bytes(content)
        os.replace(unfinished, file)
        self._places |= {digest: (file, at) for at, digest in enumerate(digests)}

    def _take(self, file: Path) -> None:
        """Use a block of an earlier build, or remove it if it is not what its name says."""
        if hashlib.sha256(file.read_bytes()).hexdigest() != file.stem.partition("-")[2]:
            file.unlink()
            return
        self._places |= {digest: (file, at) for at, digest in enumerate(self._block(file)[0])}


def represent(
    texts: Sequence[str],
    encoder: PromptRepsEncoder,
    *,
    work: Path,
    before: Representations | None = None,
    previous: Mapping[bytes, int] | None = None,
    progress: Progress = silent,
) -> tuple[Iterator[One], int]:
    """The representation of each text, in order, and how many texts the model had to read for it.

    Args:
        work: a folder that no other build uses; it keeps finished blocks.
        before, previous: representations by the same encoder, and the row in them of a text's sha256.
        progress: called as ("represent", texts done, texts in all).
    """
    known = Represented(work, made_by=encoder.describe(), previous=previous or {}, before=before)
    digests = [digest_of(text) for text in texts]
    first_row = {digest: row for row, digest in reversed(list(enumerate(digests)))}
    missing = sorted(row for digest, row in first_row.items() if digest not in known)
    done = len(texts) - len(missing)
    for start in range(0, len(missing), BLOCK):
        rows = missing[start : start + BLOCK]
        known.add([digests[row] for row in rows], encoder.encode([texts[row] for row in rows], role="document"))
        progress("represent", done + start + len(rows), len(texts))
    return (known.one(digest) for digest in digests), len(missing)


def one_of(made: Representations, at: int) -> One:
    """One text's part."""
    span = slice(int(made.starts[at]), int(made.starts[at + 1]))
    return made.dense[at], made.tokens[span], made.weights[span]


def _loaded(file: Path) -> tuple[list[bytes], Representations]:
    """A block, and the digests of its texts.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with np.load(file, allow_pickle=False) as kept:
            names = ("dense", "tokens", "weights", "starts")
            return [row.tobytes() for row in kept["digests"]], Representations(**{name: kept[name] for name in names})
    except (ValueError, KeyError, BadZipFile) as cause:
        raise OSError(f"'{file}' is no block of representations: {cause}") from cause
