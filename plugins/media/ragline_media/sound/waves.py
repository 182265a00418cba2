"""Bytes of a sound -> its waves, 16,000 numbers a second of one channel, in pieces, so that memory does not grow with its length.

What decodes it is told the format, by the bytes it begins with: left to guess, it would take a list of other files for a sound,
and open those.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.reading import ReadError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

RATE = 16_000
"""Numbers a second that speech models read."""
PIECE = 300 * RATE
"""Numbers of a piece, at most."""
MOST_SECONDS = 8 * 3600
"""Of one sound."""

_SEARCHED = 20 * RATE
"""Numbers before the end of a piece among which it is cut, where they are quietest."""
_STEP = RATE // 10
_READ = "mp3, wav, flac, ogg, m4a, mp4, webm, mkv"
_EBML = bytes.fromhex("1a45dfa3")
"""How webm and mkv begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of a sound: float32 [n_samples] between -1 and 1, and the second at which it begins."""

    samples: NDArray[np.float32]
    start: float

    @property
    def end(self) -> float:
        return self.start + len(self.samples) / RATE


def format_of(data: bytes) -> tuple[str, str]:
    """The decoder's name of a format, and its media type.

    Raises:
        ReadError: the bytes begin as no sound that is read here does.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav", "audio/wav"
    if data[:4] == b"fLaC":
        return "flac", "audio/flac"
    if data[:4] == b"OggS":
        return "ogg", "audio/ogg"
    if data[4:8] == b"ftyp":
        return "mov", "audio/mp4"
    if data[:4] == _EBML:
        return "matroska", "audio/webm" if b"webm" in data[:64] else "audio/x-matroska"
    if data[:3] == b"ID3" or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0):
        return "mp3", "audio/mpeg"
    raise ReadError(f"no sound that is read here ({_READ}), whatever its name says")


def pieces(data: bytes) -> Iterator[Piece]:
    """The first track of a sound, in pieces of at most five minutes, each cut where it is quiet.

    Raises:
        ReadError: it is no sound of these formats, has no track, is damaged from its beginning on, or too long.
    """
    waiting, start = np.zeros(0, np.float32), 0
    for samples in _decoded(data):
        waiting = np.concatenate([waiting, samples])
        while len(waiting) > PIECE:
            n = _quietest(waiting[:PIECE])
            yield Piece(samples=waiting[:n], start=start / RATE)
            waiting, start = waiting[n:], start + n
        if start > MOST_SECONDS * RATE:
            raise ReadError(f"longer than {MOST_SECONDS // 3600} hours; split it")
    if not start and not len(waiting):
        raise ReadError("no sound in it")
    yield Piece(samples=waiting, start=start / RATE)


def _quietest(samples: NDArray[np.float32]) -> int:
    """Where to cut: the middle of the quietest tenth of a second near the end."""
    first = max(len(samples) - _SEARCHED, 0)
    n = (len(samples) - first) // _STEP
    steps = samples[first : first + n * _STEP].reshape(n, _STEP)
    return first + int(np.argmin((steps**2).mean(1))) * _STEP + _STEP // 2


def _decoded(data: bytes) -> Iterator[NDArray[np.float32]]:
    """Some seconds at a time."""
    import av

    some, n = list[NDArray[np.int16]](), 0
    any_sound = False
    try:
        with av.open(io.BytesIO(data), "r", format=format_of(data)[0], metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise ReadError("no sound in it")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for frame in chain(_frames(container), (None,)):
                for level in resampler.resample(frame):
                    some.append(level.to_ndarray()[0])
                    n += len(some[-1])
                if n > _SEARCHED:
                    yield _floats(some)
                    some, n, any_sound = [], 0, True
    except av.error.FFmpegError as cause:
        if not some and not any_sound:
            raise ReadError(f"damaged: {str(cause)[:200]}") from None
    yield _floats(some)


def _floats(levels: list[NDArray[np.int16]]) -> NDArray[np.float32]:
    joined = np.concatenate(levels) if levels else np.zeros(0, np.int16)
    return joined.astype(np.float32) / np.float32(32768)


def _frames(container: InputContainer) -> Iterator[AudioFrame]:
    """As far as they can be decoded: what is damaged is left out."""
    import av

    for packet in container.demux(audio=0):
        with suppress(av.error.InvalidDataError):
            yield from packet.decode()
