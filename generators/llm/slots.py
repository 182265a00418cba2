"""Slots of a model that are shared: who waits for one, which one a prompt gets, and what was read in each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from threading import Condition

from rag.core.load import Load
from rag.core.stopping import unwanted, when_unwanted

Ids = list[int]


class Slots:
    """`n` requests are served at a time; others wait. Of the free slots a prompt gets the one that begins most like it."""

    def __init__(self, n: int) -> None:
        self.n = n
        # What each free one has read; the one that is free the longest comes first.
        self._free = {number: Ids() for number in range(n)}
        self._line: deque[object] = deque()
        self._changed = Condition()

    def load(self) -> Load:
        """How many are served, and how many wait."""
        with self._changed:
            return Load(busy=self.n - len(self._free), waiting=len(self._line), places=self.n)

    @contextmanager
    def taken(self, ids: Sequence[int]) -> Iterator[tuple[int, int] | None]:
        """Wait for a slot and hold it in the block: its number, and how many tokens of the prompt it has read.

        None where the work was unwanted (`rag.core.stopping`) before that.
        """
        me, prompt = object(), list(ids)
        # Nobody who says stop may wait for this condition while who holds it waits for the word: so it is taken inside.
        with when_unwanted(self._wake), self._changed:
            self._line.append(me)
            try:
                self._changed.wait_for(lambda: unwanted() or (self._line[0] is me and self._free))
            finally:
                self._line.remove(me)
                self._changed.notify_all()
            slot = None if unwanted() else self._nearest(prompt)
            if slot:
                del self._free[slot[0]]
        try:
            yield slot
        finally:
            if slot:
                with self._changed:
                    self._free[slot[0]] = prompt
                    self._changed.notify_all()

    def _nearest(self, prompt: Ids) -> tuple[int, int]:
        begun = {number: _common(read, prompt) for number, read in self._free.items()}
        number = max(begun, key=begun.__getitem__)
        return number, begun[number]

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _common(one: Ids, other: Ids) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
