"""Problems in words: a reason that comes again is told once, with a count and some of the names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rag.ingest import Problem

MOST_NAMES = 3
"""Names that a line has; of more, their number stands before these."""

MOST_TOLD = 10
"""Lines of a refusal."""


def told(problems: Iterable[Problem], how: Callable[[Problem], str] = lambda problem: "") -> Iterator[str]:
    """A line for every reason, in the order in which they first come.

    Args:
        how: what a line begins with. Problems of one reason that begin differently are told apart.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        names.setdefault((how(problem), problem.reason), []).append(problem.name)
    for (beginning, reason), all_names in names.items():
        some = ", ".join(all_names[:MOST_NAMES])
        counted = f"{len(all_names):,}, such as {some}" if len(all_names) > MOST_NAMES else some
        yield f"{beginning}{counted}: {reason}"


def some_of(names: Sequence[str]) -> str:
    """The first names of several.

    >>> some_of(["a.png", "b.png", "c.png", "d.png"])
    'a.png, b.png, c.png, ...'
    """
    return ", ".join([*names[:MOST_NAMES], *["..."] * (len(names) > MOST_NAMES)])
