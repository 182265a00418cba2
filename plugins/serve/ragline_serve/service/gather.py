"""Requests that come one by one -> batches, streams that get a place one after another, and calls that block, in threads.

A batch is what waits when the work before it is done: a lone request is never kept waiting for company, and under load
batches grow by themselves. The room in front is bounded.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, TypeVar

from rag.doors import Reader
from rag.errors import ContractError

Item = TypeVar("Item")
Made = TypeVar("Made")
Piece = TypeVar("Piece")

_LONGEST_RETRY_S = 60
_RETRY_AFTER_S = 5
"""Where all places of streams are taken."""


class Overloaded(Exception):
    """The waiting room is full. `retry_after_s`: when it may have room again, whole seconds from 1."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"try again in {retry_after_s} s")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Made]):
    item: Item
    done: asyncio.Future[Made]


class Gatherer(Generic[Item, Made]):
    """Gathers items into batches for `work`, which runs in one thread of its own, a batch at a time.

    An item whose caller has gone away before its batch began is dropped. Use it from one event loop.

    Args:
        name: for metrics and thread names.
        work: a batch -> one result per item, in order; an exception in the place of a result is that item's.
        key: only items of equal key share a batch; the item that has waited longest decides which comes next.
        max_batch: most items of a batch.
        room: most items that wait.
        watch: is told name, items and seconds of every batch.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[Item]], Sequence[Made | Exception]],
        *,
        key: Callable[[Item], Hashable] = lambda item: None,
        max_batch: int,
        room: int,
        watch: Callable[[str, int, float], None] = lambda name, n, seconds: None,
    ) -> None:
        self.name = name
        self._work, self._key, self._watch = work, key, watch
        self._max_batch, self._room = max_batch, room
        self._waiting: deque[_Waiting[Item, Made]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"serve-{name}")
        self._task: asyncio.Task[None] | None = None
        self._last_batch_s = 1.0

    @property
    def waiting(self) -> int:
        """Items whose batch has not begun."""
        return len(self._waiting)

    async def __call__(self, item: Item) -> Made:
        """What `work` makes of an item.

        Raises:
            Overloaded: too many are waiting.
        """
        if len(self._waiting) >= self._room:
            raise Overloaded(self._retry_after_s())
        loop = asyncio.get_running_loop()
        waiting = _Waiting[Item, Made](item, loop.create_future())
        self._waiting.append(waiting)
        if self._task is None:
            self._task = loop.create_task(self._drain())
        try:
            return await waiting.done
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def close(self) -> None:
        """Begin no further batch. One that has begun is waited for."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch = self._take()
                begun = perf_counter()
                results: Sequence[Made | Exception]
                try:
                    results = await loop.run_in_executor(self._thread, self._work, [one.item for one in batch])
                    if len(results) != len(batch):
                        raise ContractError(f"{self.name} gave {len(results)} results for {len(batch)} items")
                except Exception as error:
                    results = [error] * len(batch)
                self._last_batch_s = perf_counter() - begun
                self._watch(self.name, len(batch), self._last_batch_s)
                for one, result in zip(batch, results, strict=True):
                    _settle(one.done, result)
        finally:
            self._task = None

    def _take(self) -> list[_Waiting[Item, Made]]:
        key = self._key(self._waiting[0].item)
        alike = [one for one in self._waiting if self._key(one.item) == key][: self._max_batch]
        for one in alike:
            self._waiting.remove(one)
        return alike

    def _retry_after_s(self) -> int:
        batches = len(self._waiting) / self._max_batch + 1
        return max(1, min(_LONGEST_RETRY_S, math.ceil(batches * self._last_batch_s)))


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


def _settle(done: asyncio.Future[Made], result: Made | Exception) -> None:
    if done.done():  # its caller has gone away
        return
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)


_CALLS_RETRY_AFTER_S = 1


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
            raise Overloaded(_CALLS_RETRY_AFTER_S)
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
