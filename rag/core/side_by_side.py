"""Items worked on by threads, in a way that Ctrl-C ends.

The locks of an executor, and of `threading.Thread.start`, are taken by Python code, and who is interrupted there may hold
one for good: then a worker waits for it, and whoever was interrupted waits for the worker. These threads share nothing with
it but queues, which nobody can hold.
"""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

from rag.core.stopping import Stop, stopping, when_unwanted

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], *, threads: int) -> list[Result]:
    """`work` on every item, by at most so many threads; results in the order of the items.

    The first error, or Ctrl-C, is raised here: nothing more begins, and what has begun is waited for. It ends sooner where
    it asks `rag.core.stopping` whether it is unwanted, as it is too when the caller's own work is.
    """
    asked, done = SimpleQueue[tuple[int, Item]](), SimpleQueue[tuple[int, Result] | BaseException]()
    ended, stop, running = SimpleQueue[None](), Stop(), 0
    for pair in enumerate(items):
        asked.put(pair)

    def take() -> None:
        with stopping(stop):
            while not stop.said:
                try:
                    place, item = asked.get_nowait()
                except Empty:
                    break
                try:
                    done.put((place, work(item)))
                except BaseException as error:  # raised where it is waited for
                    stop.say()
                    done.put(error)
        ended.put(None)

    results: dict[int, Result] = {}
    try:
        with when_unwanted(stop.say):
            while running < min(threads, len(items)):
                start_new_thread(take, ())
                running += 1
            while len(results) < len(items):
                one = done.get()
                if isinstance(one, BaseException):
                    raise one
                place, result = one
                results[place] = result
    finally:
        stop.say()
        for _ in range(running):
            ended.get()
    return [results[place] for place in range(len(items))]
