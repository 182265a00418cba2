"""Texts in two languages -> pairs that say the same, by an encoder that knows both: bitext mining (arXiv 1811.01136).

An encoder that was trained on one language alone finds little beside names and numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.files import Progress, silent
from rag.indexes import unit
from rag.types import Query

By = Literal["margin", "cosine"]

BLOCK = 1024
"""Rows of either side that are multiplied at a time, which takes some 30 MB."""

_LEAST_MEAN = 0.01
"""A mean cosine below counts as this, so that no margin is negative or without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two rows. `margin`: the cosine divided by the mean of those with the nearest rows of both sides."""

    left: int
    right: int
    margin: float
    cosine: float

    def worth(self, by: By) -> float:
        return self.margin if by == "margin" else self.cosine


@dataclass(frozen=True, slots=True)
class _Nearest:
    """`places`: int64 [n, k], `cosines`: float32 [n, k], greatest first, ties by place ascending."""

    places: NDArray[np.int64]
    cosines: NDArray[np.float32]


def pairs(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    *,
    k: int = 4,
    by: By = "margin",
    mutual: bool = False,
    block: int = BLOCK,
    progress: Progress = silent,
) -> list[Pair]:
    """Pairs of rows that stand out as each other's, each row in one at most, best first; ties by left row, then right.

    Of every row the best among its `k` nearest is proposed, from both sides. Proposals are taken from the best on, as long
    as both rows are free ("max. score" of the paper). All cosines are computed, block by block.

    Args:
        left, right: float32 [n, dim] and [m, dim], of any length; a row of zeros is in no pair.
        k: neighbours of a row on the other side; all, where there are fewer.
        by: what is best. `cosine` looks at the pair alone.
        mutual: only pairs that both rows propose.
        block: rows that are multiplied at a time.
        progress: called as ("compare", left rows done, left rows in all).
    Returns:
        Pairs with a cosine above 0.
    Raises:
        ValueError: k or block below 1, or the sides have vectors of different dimensions.
    """
    if k < 1 or block < 1:
        raise ValueError(f"k and block must be at least 1, got {k} and {block}")
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise ValueError(f"vectors must be [n, dim] and [m, dim], got {list(left.shape)} and {list(right.shape)}")
    if not len(left) or not len(right):
        return []
    of_left, of_right = _nearest(unit(left), unit(right), k=k, block=block, progress=progress)
    means = of_left.cosines.mean(axis=1, dtype=np.float64), of_right.cosines.mean(axis=1, dtype=np.float64)
    proposed = _proposals(of_left, *means, by=by)
    turned = (replace(each, left=each.right, right=each.left) for each in _proposals(of_right, *means[::-1], by=by))
    answered = {(pair.left, pair.right): pair for pair in turned}
    candidates = {(pair.left, pair.right): pair for pair in proposed}
    kept = candidates.keys() & answered.keys() if mutual else candidates.keys() | answered.keys()
    return _each_once([candidates.get(key) or answered[key] for key in kept], by=by)


def _each_once(candidates: list[Pair], *, by: By) -> list[Pair]:
    lefts, rights, taken = set[int](), set[int](), list[Pair]()
    for pair in sorted(candidates, key=lambda pair: (-pair.worth(by), pair.left, pair.right)):
        if pair.left not in lefts and pair.right not in rights:
            lefts.add(pair.left)
            rights.add(pair.right)
            taken.append(pair)
    return taken


def _proposals(nearest: _Nearest, own: NDArray[np.float64], other: NDArray[np.float64], *, by: By) -> list[Pair]:
    """The best of each row's nearest. `own`, `other`: mean cosine of each row, and of each on the other side."""
    cosines = nearest.cosines.astype(np.float64)
    margins = cosines / np.maximum((own[:, None] + other[nearest.places]) / 2, _LEAST_MEAN)
    best = np.argmax(margins if by == "margin" else cosines, axis=1)
    return [
        Pair(
            left=row, right=int(nearest.places[row, at]), margin=float(margins[row, at]), cosine=float(cosines[row, at])
        )
        for row, at in enumerate(best.tolist())
        if cosines[row, at] > 0
    ]


def _nearest(
    left: NDArray[np.float32], right: NDArray[np.float32], *, k: int, block: int, progress: Progress
) -> tuple[_Nearest, _Nearest]:
    """The nearest of each left row among the right ones, and the other way round. Both see the same products."""
    of_right = [_none(min(block, len(right) - first)) for first in range(0, len(right), block)]
    of_left = []
    for first in range(0, len(left), block):
        rows = left[first : first + block]
        mine = _none(len(rows))
        for number, start in enumerate(range(0, len(right), block)):
            products = rows @ right[start : start + block].T
            mine = _with(mine, products, start, k=k)
            of_right[number] = _with(of_right[number], products.T, first, k=k)
        of_left.append(mine)
        progress("compare", first + len(rows), len(left))
    return _in_order(of_left), _in_order(of_right)


def _none(n: int) -> _Nearest:
    return _Nearest(np.zeros((n, 0), np.int64), np.zeros((n, 0), np.float32))


def _with(so_far: _Nearest, products: NDArray[np.float32], first: int, *, k: int) -> _Nearest:
    """The nearest with those of one more block, whose places begin at `first`, above all so far. By place ascending."""
    n, width = products.shape
    places = np.hstack([so_far.places, np.broadcast_to(np.arange(first, first + width), (n, width))])
    cosines = np.hstack([so_far.cosines, products])
    surplus = cosines.shape[1] - k
    if surplus <= 0:
        return _Nearest(places, cosines)
    cut = np.partition(cosines, surplus, axis=1)[:, surplus, None]
    above, equal = cosines > cut, cosines == cut
    kept = above | (equal & (np.cumsum(equal, axis=1) <= k - above.sum(axis=1, keepdims=True)))
    return _Nearest(places[kept].reshape(n, k), cosines[kept].reshape(n, k))


def _in_order(blocks: list[_Nearest]) -> _Nearest:
    places = np.concatenate([each.places for each in blocks])
    cosines = np.concatenate([each.cosines for each in blocks])
    order = np.argsort(-cosines, axis=1, kind="stable")
    return _Nearest(np.take_along_axis(places, order, 1), np.take_along_axis(cosines, order, 1))


LEAST: Mapping[By, float] = MappingProxyType({"margin": 1.06, "cosine": 0.8})
"""What a pair has to reach, if nobody says otherwise: of margins that of CCMatrix (Schwenk et al., ACL 2021), of cosines
that of WebFAQ (arXiv 2502.20936; of LaBSE, and mutual). What fits depends on the encoder."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts -> float32 [n, dim], such as `SentenceEncoder.encode` with a role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Two texts that say the same. `margin`, `cosine`: see `ragline_train.bitext.Pair`."""

    left: Query
    right: Query
    margin: float
    cosine: float


def mine(
    left: Sequence[Query],
    right: Sequence[Query],
    *,
    encode: Encode,
    k: int = 4,
    by: By = "margin",
    least: float | None = None,
    mutual: bool = False,
    progress: Progress = silent,
) -> list[Mined]:
    """Pairs of texts, each text in one at most, best first; ties in the order of the left side.

    Vectors of all texts are in memory: 1.5 KB a text at 384 numbers. All pairs are compared.

    Args:
        k, by, mutual: see `ragline_train.bitext.pairs`.
        least: what a pair has to reach of what `by` names; unset, `LEAST`.
    Raises:
        ValueError: k below 1.
    """
    wanted = LEAST[by] if least is None else least
    ours, theirs = (encode([each.text for each in side]) for side in (left, right))
    found = pairs(ours, theirs, k=k, by=by, mutual=mutual, progress=progress)
    return [
        Mined(left=left[pair.left], right=right[pair.right], margin=pair.margin, cosine=pair.cosine)
        for pair in found
        if pair.worth(by) >= wanted
    ]
