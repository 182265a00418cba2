from __future__ import annotations

import threading
from collections.abc import Callable

from generators.llm.turns import TurnLock

DEADLINE_S = 120


def started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(lock: TurnLock, waiting: int) -> None:
    """Return when so many threads wait."""
    pause = threading.Event()
    for _ in range(DEADLINE_S * 200):
        if lock.waiting == waiting:
            return
        pause.wait(0.005)
    raise AssertionError(f"{lock.waiting} threads wait, not {waiting}")


def test_those_who_wait_come_before_the_one_that_wants_it_again() -> None:
    lock, order = TurnLock(), list[str]()

    def twice(name: str) -> None:
        for _ in range(2):
            with lock:
                order.append(name)

    with lock:
        threads = []
        for at, name in enumerate("abc", start=1):
            threads.append(started(lambda name=name: twice(name)))
            until(lock, waiting=at)
    for thread in threads:
        thread.join(DEADLINE_S)
    assert order[:3] == ["a", "b", "c"]
    assert sorted(order) == ["a", "a", "b", "b", "c", "c"]


def test_a_thread_may_take_it_again_inside() -> None:
    lock, got = TurnLock(), threading.Event()

    def outsider() -> None:
        with lock:
            got.set()

    with lock:
        with lock:
            thread = started(outsider)
            until(lock, waiting=1)
        assert not got.is_set()
    assert got.wait(DEADLINE_S)
    thread.join(DEADLINE_S)


def test_many_threads_are_never_inside_together() -> None:
    lock, inside, most = TurnLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock:
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [started(work) for _ in range(8)]
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not any(thread.is_alive() for thread in threads)
    assert most == 1


def test_an_error_inside_gives_it_back() -> None:
    lock = TurnLock()
    try:
        with lock:
            raise ValueError
    except ValueError:
        pass
    got = threading.Event()

    def take() -> None:
        with lock:
            got.set()

    started(take).join(DEADLINE_S)
    assert got.is_set()
