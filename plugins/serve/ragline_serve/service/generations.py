"""What is served from, while a newer generation of its index may come: requests keep the one they began with."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from rag.errors import RagError
from rag.indexes import HasGenerations, Index, open_index

logger = logging.getLogger(__name__)

Served = TypeVar("Served")


@dataclass(slots=True, eq=False)
class _Generation(Generic[Served]):
    served: Served
    users: int = 0
    close: Callable[[], None] | None = None
    """Set once a newer one is served: what lets this one go when its last user is done."""


class Current(Generic[Served]):
    """What is served now. Safe to use from any thread."""

    def __init__(self, first: Served) -> None:
        self._lock = threading.RLock()  # its own thread may hold it when the garbage collector ends a block
        self._newest = _Generation(first)

    @property
    def now(self) -> Served:
        """What a request that began now would get. Not held: for what reads no index."""
        return self._newest.served

    @contextmanager
    def use(self) -> Iterator[Served]:
        """What is served now, held to the end of the block whatever takes its place meanwhile."""
        with self._lock:
            generation = self._newest
            generation.users += 1
        try:
            yield generation.served
        finally:
            with self._lock:
                generation.users -= 1
                close = None if generation.users else generation.close
            if close is not None:
                close()

    def replace(self, newer: Served, *, close: Callable[[], None]) -> None:
        """Serve `newer` from now on. `close` lets the older one go, and is called once its last user is done."""
        with self._lock:
            older, self._newest = self._newest, _Generation(newer)
            older.close = close
            unused = not older.users
        if unused:
            close()


Take = Callable[[Index, Callable[[], None]], None]


class Follower:
    """Looks for a newer generation of an index now and then, in a thread of its own, and hands it on opened.

    One that cannot be opened or taken is refused: a line of the log says why, the one before goes on, and nothing more
    is tried until yet another one is there.

    Args:
        index: closed once a newer one has taken its place and is the only one in use.
        take: serves another index from now on, or raises what speaks against that; calls its second argument once the
            older index is used no more.
        every_s: seconds between two looks.
    """

    def __init__(self, index: Index, take: Take, *, every_s: float) -> None:
        self._index, self._take, self._every_s = index, take, every_s
        self._refused = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow-index", daemon=True)

    def start(self) -> None:
        """Begin, if the index is of a kind that has generations."""
        if isinstance(self._index, HasGenerations):
            self._thread.start()

    def stop(self) -> None:
        """Look no more. A generation that is being opened is waited for."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """Take the newest generation, if it is another one and was not refused before."""
        assert isinstance(self._index, HasGenerations)
        newest = "CURRENT cannot be read"
        try:
            newest = self._index.newest()
            if newest not in (self._index.generation, self._refused):
                self._go_on_to(open_index(self._index.address))
                self._refused = ""
        except Exception as error:
            if newest != self._refused:
                why = str(error) if isinstance(error, RagError) else type(error).__name__
                logger.warning("the newest generation of the index is not served, the one before goes on: %s", why)
            self._refused = newest

    def _go_on_to(self, newer: Index) -> None:
        older = self._index

        def let_go() -> None:
            older.release()  # now: an index and its legs point at each other, so the rest waits for the garbage collector
            older.close()

        try:
            self._take(newer, let_go)
        except BaseException:
            newer.close()
            raise
        self._index = newer
        logger.info("index '%s': a newer generation is served, %s", newer.name, newer.identity)
