"""The order of documents when only some of them fit into one prompt. Knows positions and a scorer, not
prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Scorer = Callable[[Sequence[int]], NDArray[np.float64]]
"""Positions, best first -> a finite score for each, comparable within this call alone."""


def by_score(positions: Sequence[int], scores: NDArray[np.float64]) -> list[int]:
    """Positions by descending score; equal scores keep their order."""
    return [positions[i] for i in np.argsort(-scores, kind="stable")]


def slide(n: int, score: Scorer, *, window: int, stride: int) -> tuple[list[int], int]:
    """Order of positions 0..n-1 (best first on entry) by windows that slide from the tail to the head, as ICR
    does.

    Each window is scored, its `stride` lowest become part of the final tail, the others go on into the next
    window behind the `stride` positions in front of it.

    Returns:
        The order, and the number of windows scored.
    """
    if not 1 <= stride < window:
        raise ValueError(f"stride must be at least 1 and below window ({window}), got {stride}")
    front = max(n - window, 0)
    carried, tail, n_windows = list(range(front, n)), list[int](), 0
    while True:
        carried = by_score(carried, score(carried))
        n_windows += 1
        if front == 0:
            return carried + tail, n_windows
        carried, lowest = carried[:-stride], carried[-stride:]
        tail = lowest + tail
        step = min(stride, front)
        carried = list(range(front - step, front)) + carried
        front -= step
