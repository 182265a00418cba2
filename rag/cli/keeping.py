"""Questions of the terminal, kept in the log that `--log` names."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rag.cli.console import warn

Keep = Callable[[Mapping[str, Any]], None]
"""Takes an answer as plain data (docs/reference/json.md)."""


@contextmanager
def keeping(given: Namespace) -> Iterator[Keep]:
    """What keeps an answer; nothing, where no log is kept. A log that cannot be written is told before anything is asked.

    Raises:
        SpecError: the file is none of questions, or cannot be written.
    """
    if given.log is None:
        yield lambda answer: None
        return
    import sqlite3

    from rag.asked import Entry, QuestionLog
    from rag.cli.asking import asker_of

    asker, log = asker_of(given.asker), QuestionLog(Path(given.log))
    begun = time.perf_counter()

    def keep(answer: Mapping[str, Any]) -> None:
        nonlocal begun
        now = time.perf_counter()
        more = {"door": given.command, "graph": given.graph, "seconds": round(now - begun, 3)}
        try:
            log.add(Entry.of(answer, asker=asker, **more))
        except sqlite3.Error as error:  # the answer was given
            warn(f"rag: the question was not kept in '{given.log}': {error}")
        begun = now

    try:
        yield keep
    finally:
        log.close()
