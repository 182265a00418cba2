"""A thing by the name that its pictures go under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LEAST = 5
"""Captions that a name needs before it takes the place of another one."""


def frequent_name(name: str, synonyms: Sequence[str], counts: Mapping[str, int], *, least: int = LEAST) -> str:
    """The name that most captions have, among a name and its synonyms (REAL: Parashar et al., CVPR 2024).

    A tower knows a thing by what it was called where it was seen. The name that was given stays where no other is more frequent,
    or none occurs often enough.

    >>> frequent_name("aubergine", ["eggplant"], {"aubergine": 3, "eggplant": 40})
    'eggplant'
    >>> frequent_name("aubergine", ["eggplant"], {"aubergine": 40, "eggplant": 40})
    'aubergine'
    """
    best = max(synonyms, key=lambda each: counts.get(each, 0), default=name)
    found = counts.get(best, 0)
    return best if found >= least and found > counts.get(name, 0) else name


def rare_names(counts: Mapping[str, int], *, share: float = 0.2) -> frozenset[str]:
    """The names with the lowest counts, a fifth of them by default: the tail that is told apart. Of equal counts the first in the
    alphabet."""
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    return frozenset(ordered[: round(share * len(ordered))])
