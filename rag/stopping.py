"""Whether what a thread writes is still wanted.

A consumer that closes an iterator is heard at the next piece. What writes for long without a piece asks here in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_stopped: ContextVar[Callable[[], bool]] = ContextVar("stopped", default=lambda: False)


@contextmanager
def stopping(when: Callable[[], bool]) -> Iterator[None]:
    """Inside the block, and in this thread alone, work is unwanted as soon as `when` says so."""
    before = _stopped.set(when)
    try:
        yield
    finally:
        _stopped.reset(before)


def unwanted() -> bool:
    """Whether the work of this thread may be dropped."""
    return _stopped.get()()
