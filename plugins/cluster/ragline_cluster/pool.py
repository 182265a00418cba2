"""Blocks of texts through actors, in order: who reads what, and what becomes of the blocks of an actor that is lost.

Ray says where an actor runs and starts it when there is room. It does not hand the blocks of a lost actor to another one,
and a lost one that finds no room keeps them for ever; so that is done here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from rag.errors import StageError
from ragline_cluster.actor import Trouble
from ragline_cluster.connecting import last_line

_EACH = 2
"""Blocks that an actor has at a time: it reads one while the other is on its way."""
_MOST_SENT = 5
"""Times that a block is sent to some actor."""
_MOST_FAILED = 3
"""Actors in a row that end before they are ready."""


@dataclass(slots=True)
class _Block:
    place: int
    texts: list[str]
    n_sent: int = 0


class Pool:
    """Actors that read blocks.

    Args:
        ray: connected.
        start: starts an actor with the methods of `Reader`.
        n_actors: as many as there are at a time, as far as there are blocks for them, and the cluster has room.
    """

    def __init__(self, ray: Any, start: Callable[[], Any], *, n_actors: int) -> None:
        self._ray, self._start, self._n_actors = ray, start, n_actors
        self._starting: dict[Any, Any] = {}
        self._ready: dict[Any, int] = {}
        """Actor -> blocks that it has."""
        self._sent: dict[Any, tuple[Any, _Block]] = {}
        self._waiting: deque[_Block] = deque()
        self._n_failed = 0

    def read(self, blocks: Iterator[list[str]]) -> Iterator[Any]:
        """What becomes of each block, in order. No more are taken than `_EACH` an actor, the one that is next included.

        Raises:
            StageError: an actor failed in a way that another would too, or the cluster gives no actor.
            MissingModel, IndexMismatch: a node has not the model, or another one; names the node.
        """
        first = list(islice(blocks, self._n_actors))
        for _ in first:
            self._begin()
        blocks = chain(first, blocks)
        done: dict[int, Any] = {}
        given = taken = 0
        try:
            while True:
                while taken - given < _EACH * self._n_actors and (texts := next(blocks, None)) is not None:
                    self._waiting.append(_Block(taken, texts))
                    taken += 1
                if given == taken:
                    return
                self._send()
                if given in done:
                    yield done.pop(given)
                    given += 1
                else:
                    done |= self._received()
        finally:
            self.close()

    def close(self) -> None:
        """End all actors."""
        for actor in [*self._starting.values(), *self._ready]:
            self._ray.kill(actor)
        self._starting, self._ready, self._sent = {}, {}, {}

    def _begin(self) -> None:
        actor = self._start()
        self._starting[actor.load.remote()] = actor

    def _send(self) -> None:
        while self._waiting and self._ready:
            actor = min(self._ready, key=self._ready.__getitem__)
            if self._ready[actor] == _EACH:
                return
            block = self._waiting.popleft()
            if block.n_sent == _MOST_SENT:
                raise StageError(
                    f"rag index --ray: {_MOST_SENT} actors were lost over the same {len(block.texts):,} texts. If their "
                    "memory does not suffice, give the cluster larger nodes, or fewer actors to a node"
                )
            block.n_sent += 1
            self._ready[actor] += 1
            self._sent[actor.read.remote(block.texts)] = actor, block

    def _received(self) -> dict[int, Any]:
        """Wait until something comes back: a block, an actor that is ready, or the loss of one."""
        [first], _ = self._ray.wait([*self._sent, *self._starting], num_returns=1)
        if first in self._starting:
            self._join(first)
            return {}
        actor, block = self._sent.pop(first)
        try:
            columns = self._result(first)
        except self._ray.exceptions.RayActorError:
            self._replace(actor)
        except self._ray.exceptions.RayError:  # the node that kept the result is lost
            self._ready[actor] -= 1
        else:
            if actor in self._ready:
                self._ready[actor] -= 1
            return {block.place: columns}
        self._waiting.appendleft(block)
        return {}

    def _join(self, first: Any) -> None:
        actor = self._starting.pop(first)
        try:
            self._result(first)
        except self._ray.exceptions.RayActorError as error:
            self._n_failed += 1
            if self._n_failed == _MOST_FAILED:
                raise StageError(
                    f"rag index --ray: {_MOST_FAILED} actors ended before they were ready: {last_line(error)}. Every node "
                    "needs ragline, and memory for the model"
                ) from error
            self._begin()
        else:
            self._n_failed = 0
            self._ready[actor] = 0

    def _replace(self, actor: Any) -> None:
        """Start another actor, once for each that is lost."""
        if self._ready.pop(actor, None) is not None:
            self._begin()

    def _result(self, reference: Any) -> Any:
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise StageError(f"rag index --ray: an actor failed: {last_line(error)}") from error
        if isinstance(result, Trouble):
            raise result.raised()
        return result
