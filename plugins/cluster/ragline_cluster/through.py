"""Pieces of work through pools of actors, by Ray Data.

Ray decides where work runs, holds back what is too far ahead, and does the pieces of a lost machine again; there is no
scheduler of ours. Pieces are given to it a window at a time, so its store holds those of one window, and what becomes of
them only while it is on its way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from rag.errors import StageError
from rag.protocols import RemoteWork
from ragline_cluster.connecting import Actors, last_line

WINDOW = 2000
"""Pieces that Ray is given at a time. Actors begin anew with each window, so it is long beside the loading of a model."""


def through(works: Sequence[RemoteWork], pieces: Iterable[Any], cluster: Actors) -> Iterator[Any]:
    """What is left of every piece, in order, when all works are through with it.

    Raises:
        SpecError: there is no such cluster.
        StageError: an actor or the cluster broke down for good.
    """
    with cluster.connected(n_pools=len(works)):
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        left = iter(pieces)
        try:
            while window := list(islice(left, WINDOW)):
                # Closed here, so that what moves a run that ends early has ended before Ray is left.
                with closing(iter(_moved(window, works, cluster).iter_rows())) as rows:
                    for row in rows:
                        yield row["piece"]
        except ray.exceptions.RayError as error:
            raise StageError(f"rag batch --ray: the cluster gave up: {last_line(error)}") from error


def _moved(window: Sequence[Any], works: Iterable[RemoteWork], cluster: Actors) -> Any:
    """A Ray Dataset: these pieces on their way through the works, when it is read."""
    import ray.data

    data: Any = ray.data.from_items([{"piece": piece} for piece in window], override_num_blocks=len(window))
    for work in works:
        data = data.map(
            _Worker,
            fn_constructor_args=(work,),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=cluster.actors),
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus if work.uses_model else 0,
        )
    return data


class _Worker:
    """An actor: one work."""

    def __init__(self, work: RemoteWork) -> None:
        self._do: Callable[[Any], Any] = work.start()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"piece": self._do(row["piece"])}
