from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rag.core.as_they_come import as_they_come
from rag.core.stopping import Stop, stopping, unwanted


def test_what_is_there_comes_before_what_is_slow() -> None:
    second = threading.Event()

    def work(n: int) -> Iterator[int]:
        if n == 1:
            second.wait(120)
        yield n

    came = as_they_come(work, [1, 2], threads=2)
    assert next(came) == [2]
    second.set()
    assert list(came) == [[1]]


def test_no_more_items_are_fetched_than_there_are_threads() -> None:
    fetched: list[int] = []

    def items() -> Iterator[int]:
        for n in range(5):
            fetched.append(n)
            yield n

    came = as_they_come(lambda n: [n], items(), threads=2)
    assert fetched == []
    assert next(came)[0] in (0, 1)
    assert fetched == [0, 1]
    assert {n for some in came for n in some} <= set(range(5))
    assert fetched == list(range(5))


def test_an_error_comes_last_and_nothing_begins_behind_it() -> None:
    begun: list[int] = []

    def work(n: int) -> Iterator[int]:
        begun.append(n)
        if n == 0:
            raise ValueError("zero")
        failed.wait(120)
        yield n

    failed = threading.Event()
    threading.Timer(0.05, failed.set).start()
    given: list[int] = []
    came = as_they_come(work, range(9), threads=2)
    with pytest.raises(ValueError, match="zero"):
        given.extend(n for some in came for n in some)
    assert given == sorted(begun)[1:]
    assert len(begun) < 9


@pytest.mark.parametrize("nested", [False, True])
def test_closing_makes_all_of_it_unwanted_and_waits(nested: bool) -> None:
    ended: list[int] = []

    def work(n: int) -> Iterator[int]:
        yield n
        while not unwanted():
            pass
        ended.append(n)

    def outer(_: int) -> Iterator[int]:
        for some in as_they_come(work, [1, 2], threads=2):
            yield from some

    came = as_they_come(outer, [0], threads=1) if nested else as_they_come(work, [1, 2], threads=2)
    next(came)
    came.close()
    assert sorted(ended) == [1, 2]


def test_work_that_is_unwanted_already_begins_nothing() -> None:
    stop = Stop()
    stop.say()
    with stopping(stop):
        assert list(as_they_come(lambda n: [n], [1, 2], threads=1)) == []
