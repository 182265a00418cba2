"""Sliding windows over a ranking, from the tail to the head, so that good passages move up. Pure."""

from __future__ import annotations

from rag.core.in_step import Ask, Places, Shown


def windows(n: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Half-open spans over `n` places, from the tail to the head; the last one starts at 0.

    >>> windows(25, 20, 10)
    [(5, 25), (0, 15)]
    """
    if n < 2:
        return []
    spans = [(max(0, n - window), n)]
    while spans[-1][0] > 0:
        end = spans[-1][1] - stride
        spans.append((max(0, end - window), end))
    return spans


def slid(n: int, *, window: int, stride: int, passes: int = 1) -> Ask[Shown, Places, list[int]]:
    """The order of `n` items after `passes` times all windows (RankGPT: about (n - window) / stride + 1 each).

    Items that an answer does not place follow as they were.
    """
    order = list(range(n))
    for start, end in windows(n, window, stride) * passes:
        items = tuple(order[start:end])
        [places] = yield [items]
        placed = [items[place] for place in places]
        order[start:end] = placed + [item for item in items if item not in placed]
    return order
