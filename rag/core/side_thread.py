"""Iterators that block, such as a model's stream, read from an event loop.

Each has a thread of its own from its first piece to its last, so that what it holds on to never changes threads. The
thread runs ahead of a slow reader, to the end of the answer at most: no client's network keeps the model waiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from rag.core.protocols import close
from rag.core.stopping import Stop, stopping

Piece = TypeVar("Piece")


class _End:
    """What comes after the last piece: the error that ended the source, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Reader(Generic[Piece]):
    """A source, read by one thread into a queue of the event loop: an asynchronous iterator of its pieces."""

    def __init__(
        self, source: Iterator[Piece], loop: asyncio.AbstractEventLoop, leave: Callable[[], None] = lambda: None
    ) -> None:
        self._source, self._loop, self._leave = source, loop, leave
        self._pieces: asyncio.Queue[Piece | _End] = asyncio.Queue()
        self._stop = Stop()

    def start(self) -> None:
        threading.Thread(target=self._run, name="ragline-stream", daemon=True).start()

    def stop(self) -> None:
        """Close the source before its next piece; one that heeds `rag.core.stopping` ends sooner. The place is free then."""
        self._stop.say()

    def __aiter__(self) -> Reader[Piece]:
        return self

    async def __anext__(self) -> Piece:
        piece = await self._pieces.get()
        if not isinstance(piece, _End):
            return piece
        if piece.error is not None:
            raise piece.error
        raise StopAsyncIteration

    def _run(self) -> None:
        end = _End()
        try:
            with stopping(self._stop):
                for piece in self._source:
                    if self._stop.said:
                        break
                    self._tell(self._pieces.put_nowait, piece)
        except Exception as error:
            end = _End(error)
        finally:
            with suppress(Exception):
                close(self._source)
            self._tell(self._pieces.put_nowait, end)
            self._tell(self._leave)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(call, *arguments)
