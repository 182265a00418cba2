"""What a model makes of all texts of a leg, block by block, so that a killed build goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.core.progress import Progress, silent
from retrievers.stores.computed import Apply, Compute, Computed, Row, in_this_process
from retrievers.stores.reuse import RowsByText


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsBefore:
    """Rows that the same model made of other texts: `row` gives that of `texts` at a place."""

    texts: Sequence[str]
    row: Callable[[int], Row]


class Rows:
    """Rows by their place, of which none is held."""

    def __init__(self, digests: Sequence[bytes], row: Callable[[bytes], Row]) -> None:
        self._digests, self._row = digests, row

    def __len__(self) -> int:
        return len(self._digests)

    def __getitem__(self, place: int) -> Row:
        return self._row(self._digests[place])

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, self._digests)


def rows_of_texts(
    texts: Sequence[str],
    compute: Compute,
    *,
    made_by: Mapping[str, object],
    block: int,
    apply: Apply = in_this_process,
    work: Path,
    before: RowsBefore | None = None,
    step: str,
    progress: Progress = silent,
) -> tuple[Rows, int]:
    """The row of each text, in order, read when it is asked for; and how many texts the model had to read for them.

    Args:
        block: texts that are kept together: what a killed build loses at most.
        apply: how blocks are computed, such as by other processes.
        work: a folder that no other build uses; it keeps finished blocks.
        progress: called as (step, texts done, texts in all).
    """
    known = RowsByText(before.texts if before else ())
    store = Computed(work, made_by=made_by)

    def one(digest: bytes) -> Row:
        row = known.row(digest)
        return store[digest] if digest in store or row is None or before is None else before.row(row)

    digests, n_read = store.complete(
        texts, compute, block=block, apply=apply, known=known.__contains__, step=step, progress=progress
    )
    return Rows(digests, one), n_read
