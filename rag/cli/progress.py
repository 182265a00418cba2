"""How far long work is: bars at a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rag.cli.console import is_quiet, plain, warn
from rag.core.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import TaskID

QUIET_SECONDS = 1.0
"""Work that ends sooner shows no bar."""
SECONDS_PER_LINE = 10.0
"""From one line of a log to the next."""


def progress_lines(clock: Callable[[], float] = time.monotonic) -> Progress:
    """A `Progress` that writes a line on stderr every ten seconds."""
    last = clock()

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        if clock() - last >= SECONDS_PER_LINE:
            last = clock()
            warn(f"{what}: {done:,} of {total:,}")

    return report


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A `Progress` that draws bars on stderr for work of over a second; where that is no terminal, a line now and then."""
    if is_quiet():
        yield silent
        return
    if not sys.stderr.isatty():
        yield progress_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}
    begun = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        if not bars.live.is_started:
            if time.monotonic() - begun < QUIET_SECONDS:
                return
            bars.start()
        if what not in tasks:
            tasks[what] = bars.add_task(plain(what), total=total)
        bars.update(tasks[what], completed=done, total=total)

    try:
        yield report
    finally:
        if bars.live.is_started:
            bars.stop()
