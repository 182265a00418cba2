"""Sizes -> ranges: which pieces go into which chunk. Knows numbers only."""

from __future__ import annotations

from collections.abc import Sequence


def pack(sizes: Sequence[int], *, limit: int, overlap: int, least: int) -> list[tuple[int, int]]:
    """Ranges [first, last) of pieces, in order, that cover all of them and hold at most `limit` each.

    A range begins with the last pieces of the one before, as many as are whole within `overlap`. A last range
    that adds less than `least` is filled from the one before, so that no crumb is left.

    >>> pack([4, 4, 4, 4], limit=10, overlap=4, least=2)
    [(0, 2), (1, 3), (2, 4)]
    """
    cuts: list[int] = []  # where each range's own pieces begin; what it repeats lies before
    used = 0
    for i, size in enumerate(sizes):
        if not cuts or used + size > limit:
            repeated = _reach(sizes, i, floor=cuts[-1] + 1, budget=min(overlap, limit - size)) if cuts else i
            used = sum(sizes[repeated:i])
            cuts.append(i)
        used += size
    if len(cuts) > 1:
        cuts[-1] = _balanced(sizes, cuts[-2], cuts[-1], least)
    ranges = []
    for n, cut in enumerate(cuts):
        last = cuts[n + 1] if n + 1 < len(cuts) else len(sizes)
        first = cut
        if n:
            budget = min(overlap, limit - sum(sizes[cut:last]))
            first = _reach(sizes, cut, floor=cuts[n - 1] + 1, budget=budget)
        ranges.append((first, last))
    return ranges


def pack_turns(sizes: Sequence[int], turns: Sequence[bool], *, limit: int) -> list[tuple[int, int]]:
    """The same without overlap, where a range also ends before a piece that turns, once it holds a quarter of `limit`.

    >>> pack_turns([4, 4, 4, 4], [False, False, True, False], limit=16)
    [(0, 2), (2, 4)]
    """
    cuts, used = list[int](), 0
    for i, (size, turn) in enumerate(zip(sizes, turns, strict=True)):
        if not cuts or used + size > limit or (turn and used >= limit // 4):
            cuts.append(i)
            used = 0
        used += size
    return list(zip(cuts, [*cuts[1:], len(sizes)], strict=True))


def _reach(sizes: Sequence[int], cut: int, *, floor: int, budget: int) -> int:
    """The earliest piece from `floor` on such that those from it up to `cut` hold at most `budget`."""
    while cut > floor and sizes[cut - 1] <= budget:
        cut -= 1
        budget -= sizes[cut]
    return cut


def _balanced(sizes: Sequence[int], before: int, cut: int, least: int) -> int:
    own = sum(sizes[cut:])
    if own >= least:
        return cut
    earlier = sum(sizes[before:cut])
    while cut - 1 > before and own + sizes[cut - 1] <= earlier - sizes[cut - 1]:
        cut -= 1
        own += sizes[cut]
        earlier -= sizes[cut]
    return cut
