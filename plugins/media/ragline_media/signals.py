"""An electrocardiogram as numbers that a head brings beside the texts of reports."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BANDS, BEFORE, AFTER = 40, 25, 45
"""Bands of a spectrum; hundredths of a second of a beat before and behind its steepest place."""
_APART = 0.3
"""Seconds that beats lie apart at least."""
_WINDOW = 0.08


def heart_features(signal: NDArray[np.number], *, hz: int = 100) -> NDArray[np.float32]:
    """float32 [(40 + 70) leads + 2]: how loud each of 40 bands is in each lead, as a logarithm; the median beat, a hundredth of a
    second a number; the mean of the seconds between beats, and how far these scatter. Where no beat is told the last two parts
    are 0.

    Args:
        signal: [n, leads], in any unit; hz: numbers of a lead in a second, a hundred or a multiple of that.

    Raises:
        ValueError: another shape or rate, less than a second, or numbers that are not finite.
    """
    if signal.ndim != 2 or hz < 100 or hz % 100 or len(signal) < hz or not np.isfinite(signal).all():
        raise ValueError(f"heart_features takes finite numbers of [n, leads], a second at least, got {[*signal.shape]}")
    values = signal.astype(np.float64)[: len(signal) // (hz // 100) * (hz // 100)]
    values = values.reshape(-1, hz // 100, signal.shape[1]).mean(axis=1)
    values -= np.median(values, axis=0)
    spectrum = np.abs(np.fft.rfft(values * np.hanning(len(values))[:, None], axis=0))[1:]
    loud = np.log1p([band.mean(axis=0) for band in np.array_split(spectrum, BANDS)])
    beats = beats_of(values)
    whole = [values[at - BEFORE : at + AFTER] for at in beats if BEFORE <= at <= len(values) - AFTER]
    middle = np.median(whole, axis=0) if whole else np.zeros((BEFORE + AFTER, values.shape[1]))
    between = np.array([(after - before) / 100 for before, after in pairwise(beats)]) if len(beats) > 1 else np.zeros(1)
    return np.concatenate([loud.ravel(), middle.ravel(), [between.mean(), between.std()]]).astype(np.float32)


def beats_of(values: Floats, *, hz: int = 100) -> list[int]:
    """Where hearts beat: where all leads together are steepest, of what is a third as steep as the steepest, .3 seconds apart.

    Args:
        values: [n, leads].
    """
    slope = np.square(np.diff(values, axis=0)).sum(axis=1)
    width = round(_WINDOW * hz)
    steep = np.convolve(slope, np.full(width, 1 / width), mode="same")
    least = np.quantile(steep, 0.98) / 3
    found = list[int]()
    for at in np.argsort(-steep, kind="stable"):
        if steep[at] <= 0 or steep[at] < least:
            break
        if all(abs(int(at) - other) >= _APART * hz for other in found):
            found.append(int(at))
    return sorted(found)
