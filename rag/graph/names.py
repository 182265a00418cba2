"""Names for what is added to a graph."""

from __future__ import annotations

from collections.abc import Container
from itertools import chain, count


def new_name(wanted: str, taken: Container[str]) -> str:
    """The name, or the first of NAME2, NAME3, ... that is not taken.

    >>> new_name("writer", {"writer", "writer2"})
    'writer3'
    """
    names = chain([wanted], (f"{wanted}{number}" for number in count(2)))
    return next(name for name in names if name not in taken)
