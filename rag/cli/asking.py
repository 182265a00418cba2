"""The question of a command, as it was given or as stdin says it, and who asks it."""

from __future__ import annotations

import sys

from rag.core.access import Asker, asker_given
from rag.core.errors import SpecError

_LONGEST_BYTES = 1_000_000


def question_of(given: str | None) -> str:
    """The question; `-` or nothing means stdin, whose last line end goes.

    Raises:
        SpecError: nobody gave one, or it is empty, too long, or not UTF-8.
    """
    if given not in (None, "-"):
        return given
    if given is None and sys.stdin.isatty():
        raise SpecError("no question. Give one, or let another program write it: echo QUESTION | rag ask")
    raw = sys.stdin.buffer.read(_LONGEST_BYTES + 1)
    if len(raw) > _LONGEST_BYTES:
        raise SpecError(f"the question on stdin is over {_LONGEST_BYTES:,} bytes")
    try:
        question = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SpecError("the question on stdin is no UTF-8") from None
    if not question.strip():
        raise SpecError("the question on stdin is empty")
    return question


def asker_of(given: str | None) -> Asker | None:
    """Who asks, by `--as`: JSON, or a file that holds it.

    Raises:
        SpecError: it is neither.
    """
    return None if given is None else asker_given(given, place="--as")


def asking(given: str | None) -> dict[str, object]:
    """The same as plain data, for what is wanted of a pipeline."""
    asker = asker_of(given)
    return {} if asker is None else {"asker": asker.as_dict()}
