"""The question of a command: as it was given, or what stdin says."""

from __future__ import annotations

import sys

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
