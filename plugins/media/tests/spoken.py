"""Sounds for tests: waves as a file, and a talk of the French captions that people spoke (evaluation data)."""

from __future__ import annotations

import gzip
import io
import json
import wave
import zipfile
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ragline_media.sound.waves import RATE, pieces

PAUSE = 1.0
"""Seconds between two captions."""


def wav(samples: np.ndarray, *, rate: int = RATE) -> bytes:
    """float [n] or [n, channels] between -1 and 1 as a WAV of 16 bits, by Python's own writer."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return stream.getvalue()


@cache
def captions(data: Path) -> list[tuple[str, np.ndarray]]:
    """French captions of the dev split, and how they are spoken: float32 [n_samples]."""
    folder = data / "multimodal" / "tux"
    with gzip.open(folder / "pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        pairs: list[dict[str, Any]] = [json.loads(line) for line in lines]
    chosen = [pair for pair in pairs if pair.get("role") == "speech" and pair["split"] == "dev"]
    found = []
    for pair in chosen:
        with zipfile.ZipFile(folder / pair["archive"]) as archive:
            [piece] = pieces(archive.read(pair["media"]))
        found.append((pair["captions"]["fr"][0], piece.samples))
    return found


def talk(data: Path, limit: int | None = None) -> tuple[list[tuple[float, str]], bytes]:
    """The first of them one after the other: when each begins (seconds) with its words, and a WAV of it."""
    spoken = captions(data)[:limit]
    lengths = [len(samples) / RATE + PAUSE for _, samples in spoken]
    pause = np.zeros(int(PAUSE * RATE), np.float32)
    starts = [0.0, *accumulate(lengths)]
    track = [(start, words) for start, (words, _) in zip(starts, spoken, strict=False)]
    return track, wav(np.concatenate([part for _, samples in spoken for part in (samples, pause)]))
