"""A small logistic model over standardised signals, as a calibration has it. `rag calibrate` fits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Signals = Mapping[str, float | None]
"""Name -> value; None where an answer has no such signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """The chance of a right answer, 1 / (1 + exp(-(intercept + sum of weight * (signal - mean) / spread))).

    A signal that an answer lacks counts as its mean.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.means) == len(self.spreads) == len(self.weights):
            raise ValueError("names, means, spreads and weights are not equally many")
        if not all(spread > 0 for spread in self.spreads):
            raise ValueError("a spread is not above 0")

    def __call__(self, signals: Signals) -> float:
        """The chance, from 0 to 1."""
        z = self.intercept
        for name, mean, spread, weight in zip(self.names, self.means, self.spreads, self.weights, strict=True):
            value = signals.get(name)
            if value is not None:
                z += weight * (value - mean) / spread
        return float(1 / (1 + np.exp(-np.clip(z, -30, 30))))
