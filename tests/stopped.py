"""A change of files that is stopped at its nth step, by a kill or by an error of the disk; and a disk that is full."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STEPS = ("open", "mkdir", "link", "pwrite", "ftruncate", "fsync", "rename", "replace", "unlink", "rmdir")
"""Functions of `os` that change a folder, or come before what does."""


@contextmanager
def failing_at(step: int, stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """`stop` is called in the place of the nth step. Gives whether there were as many."""
    left = step
    real = {name: getattr(os, name) for name in STEPS}

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                stop()
            return call(*given, **named)

        return counting

    for name, call in real.items():
        setattr(os, name, counted(call))
    try:
        yield lambda: left <= 0
    finally:
        for name, call in real.items():
            setattr(os, name, call)


def killed(change: Callable[[], Any], *, once: Callable[[], bool] | None = None) -> bool:
    """The change in a process of its own, which may kill itself, and is killed `once` that is so; whether it was.

    A fork: it has imported what this process has, which takes a new one longer than the change.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads beside a fork: the child writes files, no more
        child = os.fork()
    if not child:
        try:
            signal.alarm(600)  # a busy machine takes its time
            change()
            os._exit(0)
        finally:
            os._exit(1)
    ended = 0
    while not ended:
        if once is not None and once():
            os.kill(child, signal.SIGKILL)
            once = None
        ended, status = os.waitpid(child, os.WNOHANG if once is not None else 0)
        time.sleep(0.01 if once is not None else 0)
    assert status in (0, signal.SIGKILL), "the change failed by itself"
    return status == signal.SIGKILL


def kill() -> None:
    """This process, at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(step: int, change: Callable[[], Any]) -> bool:
    """The change in a process of its own, killed at its nth step; whether it had as many."""

    def stopped() -> None:
        with failing_at(step, kill):
            change()

    return killed(stopped)


def disk_full() -> None:
    """What a full disk says."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """A full disk: this process may write files of so many bytes."""
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, room[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
