from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Iterator

import pytest

from rag.core.stopping import unwanted
from ragline_serve.service.gather import Overloaded, Streams

DEADLINE_S = 120


class Endless:
    """Says a word again and again; notes when it is closed, and by which thread it was read."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.threads: set[int] = set()
        self.left = threading.Event()

    def pieces(self) -> Generator[str, None, None]:
        try:
            while True:
                self.threads.add(threading.get_ident())
                yield "word"
        finally:
            self.threads.add(threading.get_ident())
            self.closed.set()


async def until_free(streams: Streams) -> None:
    async def wait() -> None:
        while streams.running:
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), DEADLINE_S)


def test_pieces_come_in_order_and_the_place_is_free_afterwards() -> None:
    async def read() -> list[int]:
        streams = Streams(places=1, room=0)
        told = [piece async for piece in await streams.open(iter(range(100)))]
        await until_free(streams)
        return told + [piece async for piece in await streams.open(iter([7]))]

    assert asyncio.run(read()) == [*range(100), 7]


def test_a_stopped_reader_closes_its_source_in_the_thread_that_read_it() -> None:
    source = Endless()

    async def read() -> None:
        streams = Streams(places=1, room=0)
        reader = await streams.open(source.pieces())
        assert await anext(reader) == "word"
        reader.stop()
        assert await asyncio.to_thread(source.closed.wait, DEADLINE_S)
        await until_free(streams)

    asyncio.run(read())
    assert len(source.threads) == 1
    assert threading.get_ident() not in source.threads


def test_a_silent_source_can_ask_whether_it_is_stopped() -> None:
    begun = threading.Event()

    def silent() -> Iterator[str]:
        begun.set()
        end = time.monotonic() + DEADLINE_S
        while not unwanted() and time.monotonic() < end:
            time.sleep(0.001)
        yield "late" if time.monotonic() < end else "too late"

    async def read() -> list[str]:
        streams = Streams(places=2, room=0)
        stopped, other = await streams.open(silent()), await streams.open(iter([str(unwanted())]))
        assert await asyncio.to_thread(begun.wait, DEADLINE_S)
        stopped.stop()
        told = [piece async for piece in other]
        assert [piece async for piece in stopped] == []
        await until_free(streams)
        return told

    begin = time.monotonic()
    assert asyncio.run(read()) == ["False"]
    assert time.monotonic() - begin < DEADLINE_S


def test_an_error_comes_after_the_pieces_before_it() -> None:
    def breaking() -> Iterator[str]:
        yield "a"
        raise RuntimeError("out of ink")

    async def read() -> None:
        reader = await Streams(places=1, room=0).open(breaking())
        assert await anext(reader) == "a"
        with pytest.raises(RuntimeError, match="out of ink"):
            await anext(reader)

    asyncio.run(read())


def test_a_reader_that_takes_its_time_keeps_no_model_waiting() -> None:
    written = threading.Event()

    def writing() -> Iterator[int]:
        yield from range(50)
        written.set()

    async def read() -> int:
        reader = await Streams(places=1, room=0).open(writing())
        assert await asyncio.to_thread(written.wait, DEADLINE_S)  # not one piece was taken yet
        return len([piece async for piece in reader])

    assert asyncio.run(read()) == 50


def test_one_more_waits_and_one_more_than_that_is_refused() -> None:
    source = Endless()

    async def read() -> list[int]:
        streams = Streams(places=1, room=1)
        running = await streams.open(source.pieces())
        waiting = asyncio.create_task(streams.open(iter([1, 2])))
        while not streams.waiting:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await streams.open(iter([3]))
        running.stop()
        return [piece async for piece in await asyncio.wait_for(waiting, DEADLINE_S)]

    assert asyncio.run(read()) == [1, 2]


def test_who_leaves_while_waiting_takes_no_place() -> None:
    source = Endless()

    async def read() -> list[int]:
        streams = Streams(places=1, room=1)
        running = await streams.open(source.pieces())
        waiting = asyncio.create_task(streams.open(iter([1])))
        while not streams.waiting:
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert streams.waiting == 0
        running.stop()
        return [piece async for piece in await asyncio.wait_for(streams.open(iter([2])), DEADLINE_S)]

    assert asyncio.run(read()) == [2]
