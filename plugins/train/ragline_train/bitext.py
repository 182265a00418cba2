"""Texts in two languages -> pairs that say the same, by an encoder that knows both: bitext mining.

An encoder that was trained on one language alone finds little beside names and numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from rag.files import Progress, silent
from rag.types import Query
from ragline_train.margin import By, pairs

LEAST: Mapping[By, float] = MappingProxyType({"margin": 1.06, "cosine": 0.8})
"""What a pair has to reach, if nobody says otherwise: of margins that of CCMatrix (Schwenk et al., ACL 2021), of cosines
that of WebFAQ (arXiv 2502.20936; of LaBSE, and mutual). What fits depends on the encoder."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts -> float32 [n, dim], such as `SentenceEncoder.encode` with a role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Two texts that say the same. `margin`, `cosine`: see `ragline_train.margin.Pair`."""

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
        k, by, mutual: see `ragline_train.margin.pairs`.
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
