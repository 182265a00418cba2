"""Recordings as questions: what is said in one is written down, in the process that parses, and asked as text."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.reading import Reader, ReadError
from rag.types import Content
from ragline_media.questions import bytes_inside
from ragline_media.reading import sound
from ragline_media.sound.speech import transcribed
from ragline_media.sound.waves import pieces

MOST_BYTES = 20_000_000
MOST_SECONDS = 120
"""Of a recording that somebody asks with."""

_KEPT = 256
"""Recordings whose words are kept: a conversation sends its first ones again and again."""
_known: OrderedDict[str, str] = OrderedDict()
_turn = threading.Lock()


def heard(content: Content) -> str:
    """What is said in a recording that came with a question, one at a time.

    Raises:
        SpecError: its bytes are not in it, or are too many; nobody speaks in it; it is none, too long, or cannot be written down.
    """
    data = bytes_inside(content, what="recording", most=MOST_BYTES, smaller="Say it shorter")
    digest = sha256(data).hexdigest()
    with _turn:
        if digest not in _known:
            _known[digest] = _written_down(data)
            if len(_known) > _KEPT:
                _known.popitem(last=False)
        return _known[digest]


def _written_down(data: bytes) -> str:
    try:
        sound.require()
        with tempfile.TemporaryDirectory(prefix="ragline-asked-") as folder:
            file = Path(folder) / "question"
            file.write_bytes(data)
            words: str = _reader().call(f"{__name__}:words_of", file)
    except ReadError as cause:
        raise SpecError(f"the recording that is asked with: {cause}") from None
    if not words:
        raise SpecError("nobody speaks in the recording that is asked with")
    return words


@cache
def _reader() -> Reader:
    """One whose process keeps the model for the next question."""
    return Reader()


def words_of(data: bytes) -> str:
    """What is said in a recording; empty where nobody speaks. Runs in the process that parses.

    Raises:
        ReadError: it is no sound that is read here, damaged, or too long.
    """
    words = list[str]()
    for piece in pieces(data):
        if piece.end > MOST_SECONDS:
            raise ReadError(f"longer than {MOST_SECONDS} seconds; say it shorter")
        segments: list[Any] = transcribed(piece, language=None)[0]
        words += [each.text for each in segments]
    return " ".join(words)
