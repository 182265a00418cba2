"""How two sides of a space lie to each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Geometry:
    """`gap`: distance of the middles of both sides. `alignment`: mean squared distance of pairs. `relative_alignment`: how much
    farther a medium's own text is than the nearest one, squared; 0 where all find their own. `uniformity`: log of the mean of
    exp(-2 |x - y|^2) over all of both sides, lower for a space that is used more evenly (Wang and Isola, ICML 2020)."""

    gap: float
    alignment: float
    relative_alignment: float
    uniformity: float


def linear_cka(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """How alike two networks lay out the same items, from 0 to 1 (centred kernel alignment; Kornblith et al., ICML 2019).

    |Y' X|^2 / (|X' X| |Y' Y|) of centred features [n, d] and [n, e], row by row, by Frobenius norms. A turn of either side changes
    nothing. By it the projector alignment of Maniparambil et al. (CVPR 2025) chooses which two towers to bring together.

    Raises:
        ValueError: sides that do not fit, or a side whose items are all the same.
    """
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"linear_cka takes features of the same items, two at least, got {len(x)} and {len(y)}")
    x, y = x - x.mean(axis=0, dtype=np.float64), y - y.mean(axis=0, dtype=np.float64)
    own = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    if not own:
        raise ValueError("linear_cka: all items of a side are the same")
    return float(np.linalg.norm(y.T @ x) ** 2) / own


def geometry(v: NDArray[np.floating], t: NDArray[np.floating]) -> Geometry:
    """Of pairs [n, d], of length 1, row by row.

    Raises:
        ValueError: fewer than two pairs, or sides that do not fit.
    """
    if v.shape != t.shape or len(v) < 2:
        raise ValueError(f"geometry takes pairs [n, d], n above 1, got {[*v.shape]} and {[*t.shape]}")
    apart = 2 - 2 * v @ t.T
    own = np.diagonal(apart)
    every = np.concatenate([v, t])
    distances = 2 - 2 * every @ every.T
    upper = distances[np.triu_indices(len(every), k=1)]
    return Geometry(
        gap=float(np.linalg.norm(v.mean(axis=0) - t.mean(axis=0))),
        alignment=float(own.mean()),
        relative_alignment=float((own - apart.min(axis=1)).mean()),
        uniformity=float(np.log(np.exp(-2 * upper).mean())),
    )
