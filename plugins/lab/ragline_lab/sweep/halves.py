"""Queries that settings are chosen by, and queries that the chosen one is reported on: none is both. And how many of either
settings and queries a round of halving has.

Which of the two a query is depends on the hash of its qid alone. So it is the same in every sweep, whatever other queries
there are and in whatever order, and a larger share of tuning queries only adds to them. By successive halving (Jamieson and
Talwalkar, AISTATS 2016) the better half of the settings goes on at each doubling of the queries. It can lose the best setting,
which may be unlucky on the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rag.errors import SpecError
from rag.files import text_sha256
from rag.types import Query

_DIGITS = 16
_ALL = 1 << 4 * _DIGITS
"""How many hashes there are, of so many hexadecimal digits."""


def in_order(queries: Iterable[Query]) -> list[Query]:
    """The queries in the order of their qids' hashes: any beginning of it is a sample."""
    return sorted(queries, key=lambda query: (text_sha256(query.qid), query.qid))


def divided(queries: Iterable[Query], share: float) -> tuple[list[Query], list[Query]]:
    """Tuning queries, which are about this share of them, and reporting queries; both in the order of their hashes.

    Raises:
        SpecError: the share is not between 0 and 1, or one side has no query.
    """
    if not 0 < share < 1:
        raise SpecError(f"the share of tuning queries (--tune) must be above 0 and below 1, got {share}")
    ordered = in_order(queries)
    # Where the hash of a qid stands, from 0 to below 1.
    tuning = [query for query in ordered if int(text_sha256(query.qid)[:_DIGITS], 16) / _ALL < share]
    reporting = ordered[len(tuning) :]
    for name, half in (("tuning", tuning), ("reporting", reporting)):
        if not half:
            raise SpecError(
                f"of {len(ordered)} queries none is a {name} query at a tuning share of {share}: there are too few. Take "
                "more queries, another share (--tune), or a split of its own to tune on (--tune-split)"
            )
    return tuning, reporting


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
