"""Places for requests of one engine: first come, first served, and who is not wanted any more leaves the line."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from rag.core.load import Load
from rag.core.stopping import unwanted, when_unwanted


class Places:
    """`n` requests are served at a time; others wait."""

    def __init__(self, n: int) -> None:
        self._n, self._busy = n, 0
        self._line: deque[object] = deque()
        self._changed = Condition()

    def load(self) -> Load:
        """How many are served, and how many wait."""
        with self._changed:
            return Load(busy=self._busy, waiting=len(self._line), places=self._n)

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Wait for a place and hold it in the block. False where the work was unwanted (`rag.core.stopping`) before that."""
        me = object()
        # Nobody who says stop may wait for this condition while who holds it waits for the word: so it is taken inside.
        with when_unwanted(self._wake), self._changed:
            self._line.append(me)
            try:
                self._changed.wait_for(lambda: unwanted() or (self._line[0] is me and self._busy < self._n))
            finally:
                self._line.remove(me)
                self._changed.notify_all()
            going = not unwanted()
            self._busy += going
        try:
            yield going
        finally:
            with self._changed:
                self._busy -= going
                self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
