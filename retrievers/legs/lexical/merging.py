"""Lexical legs of parts -> one of what is left of them, from their counts: no text is read again.

Terms are numbered by the part that has them first, so the files are not those of a build from the texts. Weights are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrievers.legs.lexical.chain import CountedPart
from retrievers.legs.lexical.impacts import write_impacts
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.legs.lexical.writer import write_vocabulary
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.column_blocks import BLOCK, ColumnBlocks, bounds


class _Postings(NamedTuple):
    """Of some columns of a part, as far as their rows are left. `columns`: the part's own number of each posting's term."""

    columns: NDArray[np.int32]
    rows: NDArray[np.int32]
    counts: NDArray[np.int32]


def merge(
    parts: Sequence[CountedPart], rows: ChainRows, folder: Path, settings: LexicalSettings, *, block: int = BLOCK
) -> dict[str, int]:
    """Write the leg into a folder that exists and is empty. Gives its counts for the manifest.

    In memory are the vocabulary, 4 bytes a document and what `ColumnBlocks` takes.

    Raises:
        OSError: the disk is full.
    """
    numbers: dict[str, int] = {}
    lengths = rows.joined([part.counts.lengths for part in parts])
    with ColumnBlocks(folder, block=block) as blocks:
        for place, part in enumerate(parts):
            terms = list(part.numbers)
            for postings in _stretches(place, part, rows, block):
                own, places = np.unique(postings.columns, return_inverse=True)
                new = [numbers.setdefault(terms[number], len(numbers)) for number in own.tolist()]
                blocks.add(np.array(new, dtype=np.int32)[places], postings.rows, postings.counts)
        write_impacts(folder, blocks, lengths, settings)
    write_vocabulary(folder, numbers)
    return {"n_docs": len(rows), "n_terms": len(numbers), "n_tokens": int(lengths.sum())}


def _stretches(place: int, part: CountedPart, rows: ChainRows, block: int) -> Iterator[_Postings]:
    """Columns of a part, as many at a time as a block holds postings; those of a longer one are one stretch."""
    starts = part.columns.starts
    for first, last in pairwise(bounds(starts, block).tolist()):
        span = slice(int(starts[first]), int(starts[last]))
        columns = np.repeat(np.arange(first, last, dtype=np.int32), np.diff(starts[first : last + 1]))
        of_whole = rows.rows(place, part.columns.rows[span])
        left = of_whole >= 0
        if left.any():
            yield _Postings(columns[left], of_whole[left], part.counts.of(span)[left])
