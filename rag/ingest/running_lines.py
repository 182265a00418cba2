"""What every page of a document repeats at its top and foot: found over all pages, and left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

_DEEP = 2
"""Lines at the top and at the foot of a page that may be repeated ones."""

_PAGES = 3
_SHARE = 0.4  # of the pages: left and right ones may have lines of their own
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")

Place = tuple[int, str]
"""Line of a page, from 0 at the top and from -1 at the foot; and what stands there, whatever its numbers are."""


class RunningLines:
    """Headers and footers of some pages. `pages`: the lines of each.

    A line is one if it stands at the same place of at least three pages and two fifths of them, page numbers aside.
    """

    def __init__(self, pages: Sequence[Sequence[str]]) -> None:
        counts = Counter(place for page in pages for _, place in _places(page))
        least = max(_PAGES, _SHARE * len(pages))
        self._running = {place for place, n in counts.items() if n >= least}
        self.removed = 0

    def without(self, page: Sequence[str], *, keep: Collection[str] = ()) -> list[str]:
        """The page without them; a page that would be empty then, and lines that are `keep`, stay as they are."""
        kept = {_bare(line) for line in keep}
        running = {
            number for number, place in _places(page) if place in self._running and _bare(page[number]) not in kept
        }
        rest = [line for number, line in enumerate(page) if number not in running]
        if not any(line.strip() for line in rest):
            return list(page)
        self.removed += len(running)
        return rest


def _places(page: Sequence[str]) -> Iterator[tuple[int, Place]]:
    """Number of a line and its place, of the first and last lines that are not empty."""
    filled = [number for number, line in enumerate(page) if line.strip()]
    for depth in range(min(_DEEP, len(filled))):
        yield filled[depth], (depth, _bare(page[filled[depth]]))
        yield filled[-1 - depth], (-1 - depth, _bare(page[filled[-1 - depth]]))


def _bare(line: str) -> str:
    return _NUMBER.sub("0", " ".join(line.casefold().split()))
