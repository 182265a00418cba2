"""Representations of all units of an index, block by block, so that a killed build goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from rag.core.progress import Progress, silent
from retrievers.legs.promptreps.encoder import PromptRepsEncoder
from retrievers.legs.rows_of_texts import RowsBefore, rows_of_texts
from retrievers.stores.computed import Apply, Columns, Ragged, Row, in_this_process

BLOCK = 128
"""Units: what a killed build loses at most."""


def represent(
    texts: Sequence[str],
    encoder: PromptRepsEncoder,
    *,
    work: Path,
    before: RowsBefore | None = None,
    apply: Apply = in_this_process,
    progress: Progress = silent,
) -> tuple[Iterable[Row], int]:
    """The representation of each text, in order, and how many texts the model had to read for it.

    Args:
        work: a folder that no other build uses; it keeps finished blocks.
        before: what the same encoder made of other texts.
        apply: how blocks are represented, such as by other processes.
        progress: called as ("represent", texts done, texts in all).
    """
    return rows_of_texts(
        texts,
        partial(encode_block, encoder),
        made_by=encoder.describe(),
        block=BLOCK,
        apply=apply,
        work=work,
        before=before,
        step="represent",
        progress=progress,
    )


def encode_block(encoder: PromptRepsEncoder, texts: list[str]) -> Columns:
    """The representations of texts, as a block keeps them."""
    new = encoder.encode(texts, role="document")
    return {
        "dense": new.dense,
        "tokens": Ragged(new.tokens, new.starts),
        "weights": Ragged(new.weights, new.starts),
    }
