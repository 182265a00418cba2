"""How many streams go on at a time, and how many may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TypeVar

from rag.core.side_thread import Reader
from rag.service.gather import Overloaded

Piece = TypeVar("Piece")

_RETRY_AFTER_S = 5


class Streams:
    """A bounded number of streams at a time, and a bounded room to wait for a place.

    A place is free again when the stream's thread is done with the model, which may be a moment after its reader left.
    """

    def __init__(self, *, places: int, room: int) -> None:
        self._free = asyncio.Semaphore(places)
        self._room = room
        self.running = 0
        self.waiting = 0

    async def open(self, source: Iterator[Piece]) -> Reader[Piece]:
        """Begin to read `source`, once there is a place. Stop the reader when nobody listens any more.

        Raises:
            Overloaded: all places are taken and the room is full.
        """
        await self._take_place()
        reader = Reader(source, asyncio.get_running_loop(), self._leave)
        reader.start()
        return reader

    async def _take_place(self) -> None:
        if self._free.locked() and self.waiting >= self._room:
            raise Overloaded(_RETRY_AFTER_S)
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.running += 1

    def _leave(self) -> None:
        self.running -= 1
        self._free.release()
