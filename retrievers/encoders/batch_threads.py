"""Batches of a model run side by side, one processor thread each, in place of many threads in every operation."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from rag.models.processor import usable_cores

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def run_batches(run: Callable[[Batch], Result], batches: Sequence[Batch]) -> Iterator[tuple[Batch, Result]]:
    """Each batch and its result, in order. `run` works with torch, and must not change what it shares.

    With batches enough each thread takes whole ones. Threads that share an operation wait for the slowest at its end,
    hundreds of times a batch: beside programs that use the same two cores, that made encoding four to six times slower;
    alone, both ways are equally fast. With few batches, as for a question, all threads share each operation.
    """
    import torch

    n_threads = min(torch.get_num_threads(), usable_cores())
    if n_threads == 1 or len(batches) < 2 * n_threads or torch.cuda.is_available():
        for batch in batches:
            with _torch_threads(n_threads):
                result = run(batch)
            yield batch, result
        return
    pool = _single_threads(n_threads)
    try:
        waiting: deque[tuple[Batch, Future[Result]]] = deque()
        for batch in batches:
            waiting.append((batch, pool.submit(run, batch)))
            if len(waiting) == 2 * n_threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for batch, future in waiting:
            yield batch, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _torch_threads(n_threads: int) -> Iterator[None]:
    """Lower the number of torch's threads, and leave the host program's setting as it was."""
    import torch

    before = torch.get_num_threads()
    if before == n_threads:
        yield
        return
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _single_threads(n_threads: int) -> ThreadPoolExecutor:
    """Threads that each run torch's operations alone.

    torch keeps the number per thread, but also as the default of threads to come. So all are started first, then the
    default is put back, and only then they begin.
    """
    import torch

    before = torch.get_num_threads()
    started, begin = threading.Barrier(n_threads + 1), threading.Event()

    def prepare() -> None:
        torch.get_num_threads()  # a thread takes over the default when it first asks, and would then forget what was set
        torch.set_num_threads(1)
        started.wait()
        begin.wait()

    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="encode", initializer=prepare)
    for _ in range(n_threads):  # a thread is started for each task as long as none is idle
        pool.submit(int)
    started.wait()
    torch.set_num_threads(before)
    begin.set()
    return pool
