"""How the command writes: hostile text made plain, JSON, and what reaches stderr."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Any

_QUIET = threading.Event()
"""Whether results and errors alone are wanted."""


def is_quiet() -> bool:
    """Whether results and errors alone are wanted."""
    return _QUIET.is_set()


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


def fail(text: str) -> None:
    """Why a command ends, on stderr, made plain."""
    print(plain(text), file=sys.stderr)


def warn(text: str) -> None:
    """A line on stderr, made plain; none where quiet was asked for."""
    if not _QUIET.is_set():
        fail(text)


class _Plain(logging.Formatter):
    """A record as it is told without a handler, made plain: file names and node names stand in some."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def set_loudness(*, quiet: bool, verbose: bool) -> None:
    """What reaches stderr beside errors: warnings and progress; nothing more; or all that is logged too.

    Whatever nobody else handles of what is logged is made plain.
    """
    (_QUIET.set if quiet else _QUIET.clear)()
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Plain())
        logging.lastResort.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)
    logging.getLogger().setLevel(logging.INFO if verbose else logging.WARNING)
