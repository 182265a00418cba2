"""Successive halving: all settings begin on a few queries, and at each doubling of the queries the better half goes on.

Source: Jamieson and Talwalkar, AISTATS 2016. It can lose the best setting, which may be unlucky on the first queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """So many settings are known on the first `queries` queries when it ends."""

    settings: int
    queries: int


def rounds(settings: int, queries: int, *, batch: int) -> list[Round]:
    """The rounds of a sweep, the last of them over all queries. One alone where there are too few to halve.

    Each other one is over half the queries of the next, less what would be a part of a batch, and the first over at least
    one batch.

    >>> [(each.settings, each.queries) for each in rounds(9, 100, batch=16)]
    [(9, 16), (5, 48), (3, 100)]
    """
    halvings = 0
    while _halved(settings, halvings) > 1 and queries >> (halvings + 1) >= batch:
        halvings += 1
    made = [
        Round(settings=_halved(settings, place), queries=(queries >> (halvings - place)) // batch * batch)
        for place in range(halvings)
    ]
    return [*made, Round(settings=_halved(settings, halvings), queries=queries)]


def better(scores: Mapping[int, float], keep: int) -> list[int]:
    """The settings with the highest scores, in their own order. Of equal ones the earlier stays."""
    best = sorted(scores, key=lambda setting: (-scores[setting], setting))[:keep]
    return sorted(best)


def _halved(settings: int, times: int) -> int:
    """Half of the settings so many times, rounded up."""
    return -(-settings >> times)
