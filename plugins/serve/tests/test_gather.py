from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from rag.core.errors import ContractError
from ragline_serve.service.gather import Gatherer, Overloaded

DEADLINE_S = 120


class Work:
    """Notes its batches, and waits in the first of them until it may go on."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[Any]] = []
        self.begun = threading.Event()
        self.go = threading.Event()
        if not held:
            self.go.set()

    def __call__(self, batch: list[Any]) -> Sequence[Any]:
        self.batches.append(batch)
        self.begun.set()
        assert self.go.wait(DEADLINE_S)
        return [ValueError(item) if item == "bad" else f"{item}!" for item in batch]


async def begun(work: Work) -> None:
    """Return when the first batch is being worked on."""
    assert await asyncio.to_thread(work.begun.wait, DEADLINE_S)


async def gathered(gatherer: Gatherer[Any, Any], work: Work, items: Sequence[Any]) -> list[Any]:
    """Results of items of which all but the first come while the first is worked on."""
    first, *rest = items
    tasks = [asyncio.create_task(gatherer(first))]
    await begun(work)
    tasks += [asyncio.create_task(gatherer(item)) for item in rest]
    while gatherer.waiting < len(rest):
        await asyncio.sleep(0)
    work.go.set()
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), DEADLINE_S)


def test_what_comes_while_a_batch_is_at_work_goes_together_next() -> None:
    work = Work(held=True)
    made = asyncio.run(gathered(Gatherer("t", work, max_batch=3, room=10), work, ["a", "b", "c", "d", "e"]))
    assert made == ["a!", "b!", "c!", "d!", "e!"]
    assert work.batches == [["a"], ["b", "c", "d"], ["e"]]


def test_only_items_of_one_key_share_a_batch_and_the_longest_waiting_goes_first() -> None:
    work = Work(held=True)
    gatherer = Gatherer[str, str]("t", work, key=lambda item: item[0], max_batch=9, room=10)
    made = asyncio.run(gathered(gatherer, work, ["x", "b1", "a1", "b2", "a2"]))
    assert made == ["x!", "b1!", "a1!", "b2!", "a2!"]
    assert work.batches == [["x"], ["b1", "b2"], ["a1", "a2"]]


def test_an_exception_in_the_place_of_a_result_is_that_items_alone() -> None:
    work = Work(held=True)
    made = asyncio.run(gathered(Gatherer("t", work, max_batch=9, room=10), work, ["a", "b", "bad", "c"]))
    assert [str(one) for one in made] == ["a!", "b!", "bad", "c!"]
    assert isinstance(made[2], ValueError)


def test_work_that_raises_fails_its_batch_and_no_later_one() -> None:
    def work(batch: list[int]) -> list[float]:
        return [1 / item for item in batch]

    async def ask() -> list[Any]:
        gatherer = Gatherer("t", work, max_batch=1, room=10)
        return await asyncio.gather(*map(gatherer, (0, 2)), return_exceptions=True)

    made = asyncio.run(ask())
    assert isinstance(made[0], ZeroDivisionError)
    assert made[1] == 0.5


def test_a_full_room_refuses_and_says_when_to_come_again() -> None:
    work = Work(held=True)

    async def ask() -> tuple[Overloaded, list[str]]:
        gatherer = Gatherer[str, str]("t", work, max_batch=1, room=2)
        tasks = [asyncio.create_task(gatherer("a"))]
        await begun(work)
        tasks += [asyncio.create_task(gatherer(item)) for item in "bc"]
        while gatherer.waiting < 2:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await gatherer("d")
        work.go.set()
        return refused.value, await asyncio.gather(*tasks)

    refused, made = asyncio.run(ask())
    assert 1 <= refused.retry_after_s <= 60
    assert made == ["a!", "b!", "c!"]
    assert work.batches == [["a"], ["b"], ["c"]]


def test_who_leaves_before_the_batch_begins_is_not_worked_for() -> None:
    work = Work(held=True)

    async def ask() -> list[Any]:
        gatherer = Gatherer[str, str]("t", work, max_batch=9, room=2)
        tasks = [asyncio.create_task(gatherer(item)) for item in "a"]
        await begun(work)
        tasks += [asyncio.create_task(gatherer(item)) for item in "bc"]
        while gatherer.waiting < 2:
            await asyncio.sleep(0)
        tasks[1].cancel()
        while gatherer.waiting == 2:  # its place in the room is free at once
            await asyncio.sleep(0)
        work.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    made = asyncio.run(ask())
    assert made[::2] == ["a!", "c!"]
    assert isinstance(made[1], asyncio.CancelledError)
    assert work.batches == [["a"], ["c"]]


def test_who_leaves_during_the_batch_harms_nobody() -> None:
    work = Work(held=True)

    async def ask() -> str:
        gatherer = Gatherer[str, str]("t", work, max_batch=9, room=9)
        leaving = asyncio.create_task(gatherer("a"))
        await begun(work)
        leaving.cancel()
        work.go.set()
        return await gatherer("b")

    assert asyncio.run(ask()) == "b!"
    assert work.batches == [["a"], ["b"]]


@pytest.mark.parametrize("made", [[], ["a!"], ["a!", "b!", "c!"]])
def test_work_that_gives_too_few_or_too_many_fails_its_batch_and_keeps_nobody_waiting(made: list[str]) -> None:
    gatherer = Gatherer[str, str]("t", lambda batch: made, max_batch=9, room=9)

    async def ask() -> list[Any]:
        tasks = asyncio.gather(*map(gatherer, "ab"), return_exceptions=True)
        return await asyncio.wait_for(tasks, DEADLINE_S)

    for error in asyncio.run(ask()):
        assert isinstance(error, ContractError)
        assert str(error) == f"t gave {len(made)} results for 2 items"


def test_batches_are_told_of() -> None:
    told: list[tuple[str, int]] = []
    work = Work(held=True)
    gatherer = Gatherer[str, str](
        "lane", work, max_batch=9, room=9, watch=lambda name, n, seconds: told.append((name, n))
    )
    asyncio.run(gathered(gatherer, work, "abc"))
    assert told == [("lane", 1), ("lane", 2)]
