"""Items worked on by threads, and what comes of them given out as it comes."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Generator, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

from rag.core.stopping import Stop, stopping, when_unwanted

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _End:
    """An item is done with; `error` is what ended it, if one did."""

    error: BaseException | None = None


def as_they_come(
    work: Callable[[Item], Iterable[Made]], items: Iterable[Item], *, threads: int
) -> Generator[list[Made], None, None]:
    """What `work` gives for every item, in the order in which it is there; what is there at once comes in one list.

    At most `threads` items are worked on at a time, and an item is fetched when its turn comes. Where one raises, no other
    begins; what the others give comes first, then the error. Whoever closes this, or is interrupted in it, makes all of it
    unwanted (`rag.core.stopping`), and waits until it has ended. The caller's context goes along.
    """
    came, stop = SimpleQueue[Made | _End](), Stop()
    waiting, running = iter(items), 0
    error: BaseException | None = None

    def run(item: Item) -> None:
        end = _End()
        try:
            with stopping(stop):
                for made in work(item):
                    came.put(made)
        except BaseException as cause:  # raised where it is waited for
            end = _End(cause)
        came.put(end)

    try:
        with when_unwanted(stop.say):
            while True:
                while running < threads and error is None and not stop.said:
                    try:
                        item = next(waiting)
                    except StopIteration:
                        break
                    except Exception as cause:
                        error = cause
                        break
                    start_new_thread(copy_context().run, (run, item))
                    running += 1
                if not running:
                    break
                there = _all_there(came)
                for end in (one for one in there if isinstance(one, _End)):
                    running -= 1
                    error = error or end.error
                if made := [one for one in there if not isinstance(one, _End)]:
                    yield made
        if error is not None:
            raise error
    finally:
        stop.say()
        while running:
            running -= isinstance(came.get(), _End)


def _all_there(came: SimpleQueue[Made]) -> list[Made]:
    """What has come, one at least."""
    there = [came.get()]
    try:
        while True:
            there.append(came.get_nowait())
    except Empty:
        return there
