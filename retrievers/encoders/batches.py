"""Texts of like length together, so that little of a pass is padding."""

from __future__ import annotations

from collections.abc import Sequence


def of_like_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Places in batches, the longest first, padding included at most `tokens` each, unless a single row is longer.

    >>> of_like_length([2, 5, 3], 8)
    [[1], [2, 0]]
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= tokens:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def by_length(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """The same without texts that have no token. Longest first: if memory is short, that shows at once."""
    rows = [row for row, length in enumerate(lengths) if length]
    return [[rows[place] for place in batch] for batch in of_like_length([lengths[row] for row in rows], budget)]
