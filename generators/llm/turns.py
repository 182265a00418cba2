"""A lock that is taken in turns: whoever has waited longest gets it next."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class TurnLock:
    """As `threading.RLock`, but first come, first served.

    A thread that gives the lock back and wants it again at once goes behind those that wait, so streams and batches that
    share a model advance by turns, and none can starve another.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._owner: int | None = None
        self._depth = 0

    @property
    def waiting(self) -> int:
        """Threads that wait."""
        return len(self._waiting)

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._guard:
            if self._owner in (None, me):
                self._owner = me
                self._depth += 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append((me, turn))
        try:
            turn.acquire()
        except BaseException:  # Ctrl-C while waiting: nobody may hand the lock to a thread that has left
            self._leave(me, turn)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            self._depth -= 1
            if not self._depth:
                self._hand_over()

    def _hand_over(self) -> None:
        self._owner = None
        if self._waiting:
            self._owner, turn = self._waiting.popleft()
            self._depth = 1
            turn.release()

    def _leave(self, me: int, turn: threading.Lock) -> None:
        with self._guard:
            if (me, turn) in self._waiting:
                self._waiting.remove((me, turn))
            else:
                self._depth = 0
                self._hand_over()
