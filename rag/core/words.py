"""Texts cut or put on one line, for prompts and pages that show no more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_WORD = re.compile(r"\S+")


def first_words(text: str, n: int) -> str:
    """`text` without the white space around it, cut after its n-th word. Space between words is kept."""
    end = 0
    for count, word in enumerate(_WORD.finditer(text), start=1):
        end = word.end()
        if count == n:
            break
    return text[:end].lstrip()


def in_one_line(text: str) -> str:
    """The words of `text` with one blank between them, so that one passage cannot look like several."""
    return " ".join(text.split())


def printed_line(text: str) -> str:
    """The text on one line, with nothing in it that cannot be printed or turns text round: that becomes U+FFFD."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def first_of(names: Sequence[str], most: int) -> str:
    """Names with commas between, the first so many of them.

    >>> first_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def meant_line(near: Mapping[str, Sequence[str]]) -> str:
    """What was searched in place of words, as a question to whoever wrote them.

    >>> meant_line({"recieve": ["receive"], "tabel": ["table", "label"]})
    "did you mean: receive? for 'recieve', table or label? for 'tabel'"
    """
    return "did you mean: " + ", ".join(f"{' or '.join(words)}? for {word!r}" for word, words in near.items())
