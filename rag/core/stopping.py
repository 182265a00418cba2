"""Whether what a thread writes is still wanted.

A consumer that closes an iterator is heard at the next piece. What writes for long without a piece asks here in between;
what waits for others, and cannot ask, leaves a call that wakes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock


class Stop:
    """A word that is said once, by any thread, to one that works."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._said = False
        self._calls: list[Callable[[], None]] = []

    def say(self) -> None:
        """Work is unwanted from now on. Makes the calls that were left, in this thread."""
        with self._lock:  # held meanwhile, so that no call is made once the block it was left for has ended
            if not self._said:
                self._said = True
                for call in self._calls:
                    call()

    @property
    def said(self) -> bool:
        """Whether it was."""
        return self._said

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Inside the block, `call` is made when the word is said; at once if it has been. It must be short."""
        with self._lock:
            self._calls.append(call)
            if self._said:
                call()
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)


_stop: ContextVar[Stop | None] = ContextVar("stop", default=None)


@contextmanager
def stopping(stop: Stop) -> Iterator[None]:
    """Inside the block, and in this thread alone, work is unwanted as soon as `stop` is said."""
    before = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(before)


def unwanted() -> bool:
    """Whether the work of this thread may be dropped."""
    stop = _stop.get()
    return stop is not None and stop.said


@contextmanager
def when_unwanted(call: Callable[[], None]) -> Iterator[None]:
    """Inside the block, `call` is made as soon as the work of this thread may be dropped; see `Stop.calling`."""
    stop = _stop.get()
    if stop is None:
        yield
    else:
        with stop.calling(call):
            yield
