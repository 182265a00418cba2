"""A cluster that is this process: what is sent to it and what comes back is pickled all the same."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rag.core.clusters import Read, RemoteWork


class HerePickled:
    """Keeps `rag.protocols.Cluster`. `used_models`: whether each work that was started uses one."""

    def __init__(self) -> None:
        self.used_models: list[bool] = []

    @contextmanager
    def reading(self) -> Iterator[Read]:
        yield lambda work, blocks: self.through([work], blocks)

    def through(self, works: Sequence[RemoteWork], pieces: Iterable[Any]) -> Iterator[Any]:
        self.used_models += [work.uses_model for work in works]
        begun = [_copy(work).start() for work in works]
        for piece in pieces:
            for do in begun:
                piece = _copy(do(_copy(piece)))
            yield piece


def _copy(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))
