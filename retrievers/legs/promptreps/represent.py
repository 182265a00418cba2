"""Representations of all units of an index, block by block, so that a killed build goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rag.core.progress import Progress, silent
from retrievers.legs.promptreps.encoder import PromptRepsEncoder, Representations
from retrievers.legs.rows_of_texts import RowsBefore, rows_of_texts
from retrievers.stores.computed import Columns, Ragged, Row

BLOCK = 128
"""Units: what a killed build loses at most."""


def represent(
    texts: Sequence[str],
    encoder: PromptRepsEncoder,
    *,
    work: Path,
    before: tuple[Sequence[str], Representations] | None = None,
    progress: Progress = silent,
) -> tuple[Iterable[Row], int]:
    """The representation of each text, in order, and how many texts the model had to read for it.

    Args:
        work: a folder that no other build uses; it keeps finished blocks.
        before: texts, and their representations by the same encoder.
        progress: called as ("represent", texts done, texts in all).
    """

    def compute(chosen: list[str]) -> Columns:
        new = encoder.encode(chosen, role="document")
        return {
            "dense": new.dense,
            "tokens": Ragged(new.tokens, new.starts),
            "weights": Ragged(new.weights, new.starts),
        }

    known = None if before is None else _rows_of(*before)
    made_by = encoder.describe()
    return rows_of_texts(
        texts, compute, made_by=made_by, block=BLOCK, work=work, before=known, step="represent", progress=progress
    )


def _rows_of(texts: Sequence[str], units: Representations) -> RowsBefore:
    return RowsBefore(texts=texts, row=lambda place: row_of(units, place))


def row_of(units: Representations, place: int) -> Row:
    """One text's part."""
    span = slice(int(units.starts[place]), int(units.starts[place + 1]))
    return {"dense": units.dense[place], "tokens": units.tokens[span], "weights": units.weights[span]}
