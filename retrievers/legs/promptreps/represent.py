"""Representations of all units of an index, block by block, so that a killed build goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rag.core.progress import Progress, silent
from retrievers.legs.promptreps.encoder import PromptRepsEncoder, Representations
from retrievers.stores.computed import Columns, Computed, Ragged, Row
from retrievers.stores.reuse import RowsByText

BLOCK = 128
"""Units: what a killed build loses at most."""


def represent(
    texts: Sequence[str],
    encoder: PromptRepsEncoder,
    *,
    work: Path,
    before: tuple[Sequence[str], Representations] | None = None,
    progress: Progress = silent,
) -> tuple[Iterator[Row], int]:
    """The representation of each text, in order, and how many texts the model had to read for it.

    Args:
        work: a folder that no other build uses; it keeps finished blocks.
        before: texts, and their representations by the same encoder.
        progress: called as ("represent", texts done, texts in all).
    """
    rows = RowsByText(before[0] if before else ())
    store = Computed(work, made_by=encoder.describe())

    def compute(chosen: list[str]) -> Columns:
        new = encoder.encode(chosen, role="document")
        return {
            "dense": new.dense,
            "tokens": Ragged(new.tokens, new.starts),
            "weights": Ragged(new.weights, new.starts),
        }

    def one(digest: bytes) -> Row:
        row = rows.row(digest)
        if digest in store or row is None or before is None:
            return store[digest]
        return row_of(before[1], row)

    digests, n_read = store.complete(
        texts, compute, block=BLOCK, known=rows.__contains__, step="represent", progress=progress
    )
    return (one(digest) for digest in digests), n_read


def row_of(units: Representations, place: int) -> Row:
    """One text's part."""
    span = slice(int(units.starts[place]), int(units.starts[place + 1]))
    return {"dense": units.dense[place], "tokens": units.tokens[span], "weights": units.weights[span]}
