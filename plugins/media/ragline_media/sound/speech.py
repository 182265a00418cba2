"""Waves -> what is said in them, and from when to when: Whisper (Radford et al., ICML 2023), run by ctranslate2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from ragline_media.sound.packaged import OF_ENGINE, SPEECH, TABLE, weights_of
from ragline_media.sound.waves import Piece, pieces

_STRETCH = 30
"""Seconds that the model reads at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of speech: `start` and `end` in seconds, and its words."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What is said in a sound of so many `seconds`, and in which language (ISO 639-1); empty where nobody speaks."""

    segments: tuple[Segment, ...]
    language: str
    seconds: float


def speech_of(data: bytes, *, begins: Callable[[], None] = lambda: None) -> Speech:
    """What is said in a sound, in the language of its first piece in which somebody speaks.

    Args:
        begins: called before every half minute of it.
    Raises:
        ReadError: it is no sound that is read here, damaged, or too long.
    """
    segments, language, end = list[Segment](), "", 0.0
    for piece in pieces(data):
        for _ in range(ceil((piece.end - end) / _STRETCH)):
            begins()
        heard, told = transcribed(piece, language=language or None)
        segments += heard
        language, end = language or told, piece.end
    return Speech(segments=tuple(segments), language=language, seconds=end)


def transcribed(piece: Piece, *, language: str | None) -> tuple[list[Segment], str]:
    """What is said, and in which language (ISO 639-1); neither where nobody speaks.

    Stretches without speech are not read, for models hear words in silence, and no five tokens are written twice in half a minute,
    for what they do not understand they write over and over. One thread, five beams, weights in eight bits.

    Args:
        language: of the pieces before; none: the model tells it.
    """
    segments, told = _model(TABLE[SPEECH].path).transcribe(
        piece.samples,
        language=language,
        vad_filter=True,
        condition_on_previous_text=False,
        temperature=0.0,
        no_repeat_ngram_size=5,
    )
    heard = [*_segments(segments, piece.start)]
    return heard, str(told.language) if heard else ""


def _segments(segments: Any, begin: float) -> Iterator[Segment]:
    for each in segments:
        if words := " ".join(str(each.text).split()):
            yield Segment(start=round(begin + float(each.start), 2), end=round(begin + float(each.end), 2), text=words)


@cache
def _model(folder: Path) -> Any:
    """The model of a folder as `packaged.convert` writes it. Nothing is fetched."""
    from faster_whisper import WhisperModel

    files = {name: (folder / f"engine.{name}").read_bytes() for name in OF_ENGINE}
    files |= {"model.bin": weights_of(folder), "tokenizer.json": (folder / "tokenizer.json").read_bytes()}
    return WhisperModel(SPEECH, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1, files=files)
