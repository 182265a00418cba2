"""One reading for several legs: what a later leg makes of the states of tokens is kept while an earlier one has them read.

The later leg's build finds its blocks in its work folder, as a build that goes on where one was killed does. Vectors of the
earlier leg are the same whether somebody else sees the states or not. Those of the later one are rounded otherwise than by a
reading of its own, because texts are read in other batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.encoders.states import Seen
from retrievers.stores.computed import Columns, Computed, digest_of


@dataclass(kw_only=True)
class Beside:
    """Blocks of a leg that is built later.

    `work`, `made_by`: of that leg. `row`: ids of a text's tokens and their states -> what the leg computes of the text.
    `columns`: such rows as a block keeps them. `known`: whether the leg has a text's row from elsewhere, by its digest.
    """

    work: Path
    made_by: Mapping[str, object]
    block: int
    row: Callable[[Sequence[int], NDArray[np.float32]], NDArray[Any]]
    columns: Callable[[Sequence[NDArray[Any]]], Columns]
    known: Callable[[bytes], bool] = lambda digest: False
    _store: Computed | None = field(default=None, init=False)

    @contextmanager
    def seeing(self, texts: Sequence[str]) -> Iterator[Seen]:
        """What is to be shown the states of these texts. All that it made is kept once the block is left without an error.

        Raises:
            OSError: a block could not be written.
        """
        store = self._store = self._store or Computed(self.work, made_by=self.made_by)
        digests = list(map(digest_of, texts))
        wanted = {digest for digest in digests if digest not in store and not self.known(digest)}
        rows: dict[bytes, NDArray[Any]] = {}

        def take(digest: bytes, ids: Sequence[int], states: NDArray[np.float32]) -> None:
            if digest in wanted:
                wanted.remove(digest)
                rows[digest] = self.row(ids, states)
            if len(rows) == self.block:
                keep()

        def keep() -> None:
            store.add([*rows], self.columns([*rows.values()]))
            rows.clear()

        yield lambda place, ids, states: take(digests[place], ids, states)
        for digest in sorted(wanted):  # nobody shows a text without a token
            take(digest, (), np.zeros((0, 0), dtype=np.float32))
        if rows:
            keep()


@contextmanager
def seen_by(beside: Sequence[Beside], texts: Sequence[str]) -> Iterator[Seen | None]:
    """What shows states to all of them; None where there are none."""
    if not beside:
        yield None
        return
    with ExitStack() as open_:
        each = [open_.enter_context(one.seeing(texts)) for one in beside]

        def seen(place: int, ids: Sequence[int], states: NDArray[np.float32]) -> None:
            for one in each:
                one(place, ids, states)

        yield seen
