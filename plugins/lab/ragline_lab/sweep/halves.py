"""Queries that settings are chosen by, and queries that the chosen one is reported on: none is both.

Which of the two a query is depends on the hash of its qid alone. So it is the same in every sweep, whatever other queries
there are and in whatever order, and a larger share of tuning queries only adds to them.
"""

from __future__ import annotations

from collections.abc import Iterable

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
