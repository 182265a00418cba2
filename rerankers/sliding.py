"""Sliding windows over a ranking, from the tail to the head, so that good passages move up. Pure."""

from __future__ import annotations

from collections.abc import Callable

from rerankers.asking import Ask, Places, Shown

Reorder = Callable[[Shown], Ask[Shown, Places, list[int]]]
"""Items of a window in their present order -> in a better one."""


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


def by_one_answer(items: Shown) -> Ask[Shown, Places, list[int]]:
    """The order that one answer gives; items it does not place follow as they were."""
    [places] = yield [items]
    placed = [items[place] for place in places]
    return placed + [item for item in items if item not in placed]


def slid(
    n: int, *, window: int, stride: int, passes: int = 1, reorder: Reorder = by_one_answer
) -> Ask[Shown, Places, list[int]]:
    """The order of `n` items after `passes` times all windows (RankGPT: about (n - window) / stride + 1 each)."""
    order = list(range(n))
    for start, end in windows(n, window, stride) * passes:
        order[start:end] = yield from reorder(tuple(order[start:end]))
    return order
