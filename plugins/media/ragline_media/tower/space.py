"""The space in which words find pictures: that of a text encoder, into which features of pictures come by tags or by a fit.

    tags     (ConSE; Norouzi et al., ICLR 2014, equation 3) of the ten most probable classes the text vectors of their
             names, each times its probability
    fitted   x W + b by ridge regression (Hoerl and Kennard, 1970) from features x to text vectors of captions

Both end in unit vectors, so an inner product with the unit vector of a text is a cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rag.errors import ContractError, SpecError
from rag.files import data_sha256
from rag.indexes import unit
from ragline_media.tower.tower import Features

TAGS = 10
PENALTY = 30.0
"""Of the ridge. Features and text vectors are centred."""

_FILES = ("mean", "weights", "offset")

EncodeTexts = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts -> float32 [n, dim], unit norm, as the texts of a question are encoded."""


def class_names() -> list[str]:
    """Of the 1,000 classes of ImageNet, in the order of logits."""
    return (files("ragline_media.data") / "imagenet_names.txt").read_text(encoding="utf-8").splitlines()


def concepts_of(encode: EncodeTexts) -> NDArray[np.float32]:
    """float32 [1000, dim]: the text vector of each class."""
    return encode([f"a photo of a {name}" for name in class_names()])


@dataclass(frozen=True, slots=True)
class Projector:
    """`mean`: float32 [m], of features. `weights`: float32 [m, dim]. `offset`: float32 [dim]."""

    mean: NDArray[np.float32]
    weights: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def fit(cls, features: NDArray[np.float32], texts: NDArray[np.float32], *, penalty: float = PENALTY) -> Self:
        """The ridge regression from features, float32 [n, m], to text vectors, float32 [n, dim], row by row.

        Raises:
            ValueError: there are fewer than two pairs.
        """
        if len(features) < 2 or len(features) != len(texts):
            raise ValueError(f"a projector is fitted on two pairs at least, got {len(features)} and {len(texts)}")
        mean, offset = features.mean(0, dtype=np.float64), texts.mean(0, dtype=np.float64)
        centred = features - mean
        square = centred.T @ centred + penalty * np.eye(centred.shape[1])
        weights = np.linalg.solve(square, centred.T @ (texts - offset))
        return cls(*(each.astype(np.float32) for each in (mean, weights, offset)))

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n, m] -> float32 [n, dim], unit norm."""
        return unit(np.asarray((features - self.mean) @ self.weights + self.offset, dtype=np.float32))

    @property
    def sha256(self) -> str:
        return data_sha256([each.tobytes().hex() for each in (self.mean, self.weights, self.offset)])

    def save(self, folder: Path) -> None:
        """Write it as `projector.*.npy` into a folder, which exists."""
        for name, array in zip(_FILES, (self.mean, self.weights, self.offset), strict=True):
            np.save(folder / f"projector.{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The one that a folder has.

        Raises:
            SpecError: it has none, or its files do not fit together.
        """
        try:
            arrays = [np.load(folder / f"projector.{name}.npy", allow_pickle=False) for name in _FILES]
            mean, weights, offset = arrays
            if weights.shape != (len(mean), len(offset)):
                raise ValueError(f"{weights.shape} weights for {len(mean)} features and {len(offset)} numbers")
        except (OSError, ValueError) as cause:
            raise SpecError(f"'{folder}' holds no projector of pictures ({cause}). Fit one, or leave it out") from cause
        return cls(mean, weights, offset)


@dataclass(frozen=True, slots=True)
class Space:
    """Features -> vectors beside texts. `concepts`: float32 [1000, dim]; none where the tower says no classes, and then what it
    pools lies beside its own texts. `projector`: None where there is no fit."""

    concepts: NDArray[np.float32]
    projector: Projector | None = None

    def __call__(self, seen: Features) -> NDArray[np.float32]:
        """float32 [n, dim], unit norm.

        Raises:
            ContractError: a number is not finite.
        """
        if self.projector is not None:
            found = self.projector(inputs(seen, self.concepts))
        else:
            found = tags(seen, self.concepts) if len(self.concepts) else unit(seen.pooled)
        if not all(np.isfinite(each).all() for each in (seen.pooled, seen.logits, found)):
            raise ContractError(
                "the vector of a picture has a number that is not finite: weights of the tower or of the projector are damaged, or"
                " were computed in half precision, in which some models give none. Take them in float32"
            )
        return found


def tags(seen: Features, concepts: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [n, dim]: by the ten most probable classes."""
    probable = _softmax(seen.logits)
    least = -np.sort(-probable, axis=1)[:, TAGS - 1 : TAGS]
    return unit(np.asarray(np.where(probable >= least, probable, 0) @ concepts, dtype=np.float32))


def inputs(seen: Features, concepts: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [n, 2280 + dim]: what a projector is fitted on. Pooled numbers, tags, and square roots of flattened probabilities,
    each so long that none drowns the others. Pooled numbers alone where the tower says no classes."""
    if not len(concepts):
        return np.asarray(4 * unit(seen.pooled), dtype=np.float32)
    return np.hstack(
        [4 * unit(seen.pooled), 2 * tags(seen, concepts), np.sqrt(_softmax(seen.logits / np.float32(2)))],
        dtype=np.float32,
    )


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probable: NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
    return probable
