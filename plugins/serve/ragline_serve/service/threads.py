"""Calls that block, away from the event loop: a bounded number at a time, and a bounded room to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from ragline_serve.service.gather import Overloaded

Made = TypeVar("Made")

_RETRY_AFTER_S = 1


class Threads:
    """Runs calls in threads of its own. Use it from one event loop.

    A caller that leaves before its call has begun takes it along. One that has begun holds its place to its end.

    Args:
        name: for metrics and thread names.
        places: most calls at a time.
        room: most calls that wait.
    """

    def __init__(self, name: str, *, places: int, room: int) -> None:
        self.name = name
        self._places, self._room = places, room
        self._pool = ThreadPoolExecutor(places, thread_name_prefix=f"serve-{name}")
        self._inside = 0

    @property
    def waiting(self) -> int:
        """Calls that have not begun."""
        return max(0, self._inside - self._places)

    async def __call__(self, work: Callable[..., Made], *arguments: object) -> Made:
        """What `work` returns.

        Raises:
            Overloaded: all places are taken and the room is full.
        """
        if self._inside >= self._places + self._room:
            raise Overloaded(_RETRY_AFTER_S)
        loop = asyncio.get_running_loop()

        def done(_: Future[Made]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(self._leave)

        self._inside += 1
        call = self._pool.submit(work, *arguments)
        call.add_done_callback(done)
        return await asyncio.wrap_future(call)

    def close(self) -> None:
        """Begin no further call. Those that have begun are waited for."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self) -> None:
        self._inside -= 1
