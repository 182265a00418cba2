"""Electrocardiograms as numbers: beats where they were put, and a rhythm that is told."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ragline_media.signals import AFTER, BANDS, BEFORE, beats_of, heart_features


def heart(at: list[int], *, n: int = 1000, leads: int = 2) -> NDArray[np.float64]:
    """Ten seconds: a beat rises and falls within .06 seconds, half as high in the second lead."""
    values = np.zeros((n, leads))
    for place in at:
        values[place - 3 : place + 4] += np.array([0, 1, 4, 9, 4, 1, 0])[:, None] * 100 / (1 + np.arange(leads))
    return values


def test_beats_are_told_and_what_is_between_them() -> None:
    even, uneven = [50, 130, 210, 290, 370, 450], [50, 120, 210, 280, 370, 450]
    for at in (even, uneven):
        assert np.abs(np.array(beats_of(heart(at))) - at).max() <= 3
    features = heart_features(heart(even))
    assert len(features) == 2 * (BANDS + BEFORE + AFTER) + 2
    assert features[-2:] == pytest.approx([0.8, 0.0], abs=1e-6)
    assert heart_features(heart(uneven))[-2:] == pytest.approx([0.8, np.std([0.7, 0.9, 0.7, 0.9, 0.8])], abs=0.02)
    beat = features[2 * BANDS : -2].reshape(BEFORE + AFTER, 2)
    assert abs(int(beat[:, 0].argmax()) - BEFORE) <= 3
    assert beat[:, 0].max() == pytest.approx(900)
    assert beat[:, 1] == pytest.approx(beat[:, 0] / 2)


def test_a_small_beat_beside_large_ones_is_none() -> None:
    values = heart([100, 300, 500, 700])
    values[400:403] += 20
    assert len(beats_of(values)) == 4


def test_the_loudest_band_is_that_of_the_wave() -> None:
    """5 of 50 Hz lie in the fifth of 40 bands of 1.25 Hz."""
    wave = np.sin(2 * np.pi * 5.6 * np.arange(1000) / 100)[:, None] * 500
    assert int(heart_features(wave)[:BANDS].argmax()) == 4


def test_five_hundred_numbers_a_second_are_read_as_a_hundred() -> None:
    values = heart([50, 130, 210, 290])
    np.testing.assert_allclose(heart_features(np.repeat(values, 5, axis=0), hz=500), heart_features(values), atol=1e-3)


def test_a_flat_line_has_no_beat() -> None:
    assert not heart_features(np.full((200, 3), 7)).any()


@pytest.mark.parametrize(
    ("signal", "hz"),
    [(np.zeros(200), 100), (np.zeros((99, 2)), 100), (np.full((200, 2), np.nan), 100), (np.zeros((400, 2)), 250)],
)
def test_what_is_no_signal_is_told(signal: NDArray[np.float64], hz: int) -> None:
    with pytest.raises(ValueError, match=r"finite numbers of \[n, leads\]"):
        heart_features(signal, hz=hz)
