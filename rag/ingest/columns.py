"""Names of a table's columns: before each value, so that a row is understood alone, as long as that is not most of the text.

Names that are many times as long as all that they name stand once a passage instead, as a heading over the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rag.ingest.types import Note

NAME = 80
"""Characters of a name that stand before each of its values."""
_FREE = 1 << 20
"""Characters of names that the rows of a file may repeat, whatever is in them."""
_TIMES = 8
"""How many times as long as its values the names may be beyond that."""
_JOINT = " | "

Cell = tuple[int, str]
"""Column from 0, and what stands there, on one line."""


@dataclass(slots=True)
class Repeated:
    """What the tables of one file repeat, in characters, and what they do not: whole names, and names of rows."""

    names: int = 0
    values: int = 0
    n_cut: int = 0
    n_bare: int = 0

    def cut(self, name: str) -> str:
        """A name as it stands before its values."""
        if len(name) <= NAME:
            return name
        self.n_cut += 1
        return name[:NAME].rstrip() + "…"

    def tell(self, note: Note) -> None:
        """Say what was left out, if anything was."""
        if self.n_cut:
            note(f"{self.n_cut:,} names of columns cut after {NAME} characters", lost=True)
        if self.n_bare:
            note(
                f"{self.n_bare:,} rows of tables are without the names of their columns, which are more than {_TIMES} times as "
                "long as what stands in them; passages have the names once, as a heading",
                lost=True,
            )


class Columns:
    """The columns of one table. A column without a name, or beyond the names, has values alone."""

    def __init__(self, names: Sequence[str] | dict[int, str], repeated: Repeated) -> None:
        given = names if isinstance(names, dict) else dict(enumerate(names))
        self._names = {column: repeated.cut(name) for column, name in given.items()}
        self._repeated, self._bare = repeated, False

    def blocks(self, rows: Iterable[Iterable[Cell]], *, most: int | None = None) -> Iterator[tuple[str, list[str]]]:
        """(names that the lines stand under, or nothing; a line for each row), `most` lines at once."""
        lines, under = list[str](), ""
        for row in rows:
            cells = [(column, value) for column, value in row if value]
            bare = self._bare
            line = self._line(cells)
            if lines and (self._bare != bare or len(lines) == most):
                yield under, lines
                lines = []
            under = _JOINT.join(filter(None, self._names.values())) if self._bare else ""
            lines += [line] if line else []
        if lines:
            yield under, lines

    def _line(self, cells: Sequence[Cell]) -> str:
        names, tally = sum(len(self._names.get(column, "")) + 2 for column, _ in cells), self._repeated
        tally.values += sum(len(value) for _, value in cells)
        if not self._bare and self._names and tally.names + names > max(_FREE, _TIMES * tally.values):
            self._bare = True
        if self._bare:
            tally.n_bare += 1
            return _JOINT.join(value for _, value in cells)
        tally.names += names if self._names else 0
        joint = "; " if self._names else _JOINT
        return joint.join(f"{name}: {value}" if (name := self._names.get(column)) else value for column, value in cells)
