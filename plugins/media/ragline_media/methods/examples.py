"""Retrieved examples that condition what makes a sound: the nearest sounds to a text go to the maker beside the text.

Audiobox TTA-RAG (Yang et al., 2024) teaches a large model to do so. No such model is here: `Blend` stands in for one, so that
the path can be run and tested. It draws a tone of the examples' mean spectrum, and knows nothing of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
Vectors = NDArray[np.float32]


class Synthesiser(Protocol):
    """What makes a sound of a text and of examples; these may be none."""

    def make(self, text: str, examples: Sequence[Wave]) -> Wave:
        """float32 [samples], from -1 to 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A sound, and by which examples, best first, with their similarities."""

    wave: Wave
    examples: tuple[str, ...]
    scores: tuple[float, ...]


def conditioned(
    text: str,
    *,
    encode: Callable[[Sequence[str]], Vectors],
    gallery: Vectors,
    names: Sequence[str],
    load: Callable[[str], Wave],
    synthesiser: Synthesiser,
    k: int = 3,
) -> Made:
    """A sound for a text, by the k sounds that are nearest to it.

    Args:
        encode: texts -> [n, d], unit norm, beside the gallery.
        gallery: [m, d], unit norm, of the sounds that there are. names: theirs, and `load` reads one.

    Raises:
        ValueError: names and gallery do not fit, or what was made is no sound.
    """
    if len(names) != len(gallery):
        raise ValueError(f"conditioned: {len(names)} names for {len(gallery)} sounds")
    scores = gallery @ encode([text])[0] if len(gallery) else np.zeros(0, np.float32)
    best = np.lexsort((np.arange(len(scores)), -scores))[:k]
    wave = synthesiser.make(text, [load(names[place]) for place in best])
    if wave.ndim != 1 or not np.isfinite(wave).all() or (len(wave) and np.abs(wave).max() > 1):
        raise ValueError("conditioned: the synthesiser gave no sound of one channel from -1 to 1")
    return Made(
        wave=wave, examples=tuple(names[place] for place in best), scores=tuple(float(scores[place]) for place in best)
    )


class Blend:
    """A stand-in, and no model: noise with the mean spectrum of the examples, as long as the longest. Silence without any."""

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed

    def make(self, text: str, examples: Sequence[Wave]) -> Wave:
        """The text changes nothing."""
        length = max(map(len, examples), default=0)
        if not length:
            return np.zeros(0, np.float32)
        size = length // 2 + 1
        loudness = np.mean([np.abs(np.fft.rfft(each, length)) for each in examples if len(each)], axis=0)
        angles = np.random.default_rng(self._seed).uniform(0, 2 * np.pi, size)
        wave = np.fft.irfft(loudness * np.exp(1j * angles), length)
        return np.asarray(wave / max(1.0, float(np.abs(wave).max())), dtype=np.float32)
