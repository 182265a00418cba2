"""Commands that end in good order when they are told to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def told_to_end() -> Iterator[None]:
    """Inside the block SIGTERM, by which a scheduler or a container ends a process, is what Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
