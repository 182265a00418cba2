"""Room that documents read ahead take in a store, so that reading ends before it pushes out its own."""

from __future__ import annotations

from collections.abc import Sequence

from rerankers.attention.states.kept import StateStore, document_digest


class Filling:
    """Counts documents that go into a store one after another. Those of equal ids are one state and count once."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._n_bytes = 0

    def passes(self, store: StateStore, blocks: Sequence[Sequence[int]]) -> bool:
        """Whether the store has too little room for these documents and all before them.

        A document that is in the store already counts too. Other documents in the store do not: they make room.
        """
        for block in blocks:
            digest = document_digest(block)
            if digest not in self._seen:
                self._seen.add(digest)
                self._n_bytes += store.n_bytes(len(block))
        return self._n_bytes > store.room
