"""How the command writes: hostile text made plain, JSON, and progress bars on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rag.core.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import TaskID

QUIET_SECONDS = 1.0
"""Work that ends sooner shows no bar."""


def plain(text: str) -> str:
    """Text that cannot move the cursor, colour the terminal or hide itself: control characters become U+FFFD."""
    return "".join(c if c in "\n\t" or (c.isprintable() and not "\ud800" <= c <= "\udfff") else _shown(c) for c in text)


def _shown(c: str) -> str:
    return c if c.isspace() and ord(c) > 0x9F else "\ufffd"


def say(text: str = "") -> None:
    """A line on stdout, made plain."""
    write(plain(text) + "\n")


def write(text: str) -> None:
    """Characters on stdout, at once. What the terminal's encoding lacks is replaced."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, errors="replace").decode(encoding))
    sys.stdout.flush()


def say_json(document: Any) -> None:
    """One JSON document on stdout, ASCII only, so that no text in it reaches the terminal raw."""
    write(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def plain_data(value: Any) -> Any:
    """A value as JSON has it; what JSON does not know becomes text."""
    if isinstance(value, dict):
        return {str(key): plain_data(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def warn(text: str) -> None:
    """A line on stderr, made plain."""
    print(plain(text), file=sys.stderr)


class _Plain(logging.Formatter):
    """A record as it is told without a handler, made plain: file names and node names stand in some."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def make_logs_plain() -> None:
    """Whatever is logged and nobody else handles goes to stderr made plain."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Plain())


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A `Progress` that draws bars on stderr for work of over a second; silent when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield silent
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
