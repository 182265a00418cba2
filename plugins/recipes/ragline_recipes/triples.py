"""A graph of triples: (head, relation, tail), with what leads from an entity, and which entities a text names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rag.errors import SpecError

HEADER = ("head", "relation", "tail")
BACK = " of"
"""Behind a relation that is followed from its tail to its head: `children of`."""

_WORD = re.compile(r"[^\W_]+")
_LONGEST_NAME = 12  # words


class Triple(NamedTuple):
    """One fact."""

    head: str
    relation: str
    tail: str

    @property
    def text(self) -> str:
        """The fact as a line: names with blanks in place of underscores."""
        return " ".join(part.replace("_", " ") for part in self)


@dataclass(frozen=True, kw_only=True)
class TripleGraph:
    """Triples by their entities. `forward`, `backward`: entity -> relation -> triples, in the order of the file."""

    forward: Mapping[str, Mapping[str, tuple[Triple, ...]]]
    backward: Mapping[str, Mapping[str, tuple[Triple, ...]]]
    names: Mapping[tuple[str, ...], tuple[str, ...]]

    @classmethod
    def of(cls, triples: Iterable[Triple]) -> TripleGraph:
        """The graph of these triples; repeated ones count once."""
        forward: dict[str, dict[str, list[Triple]]] = {}
        backward: dict[str, dict[str, list[Triple]]] = {}
        names: dict[tuple[str, ...], list[str]] = {}
        for triple in dict.fromkeys(triples):
            forward.setdefault(triple.head, {}).setdefault(triple.relation, []).append(triple)
            backward.setdefault(triple.tail, {}).setdefault(triple.relation, []).append(triple)
        for entity in dict.fromkeys([*forward, *backward]):
            names.setdefault(_words(entity), []).append(entity)
        return cls(
            forward={entity: _frozen(by) for entity, by in forward.items()},
            backward={entity: _frozen(by) for entity, by in backward.items()},
            names={name: tuple(entities) for name, entities in names.items() if name},
        )

    @classmethod
    def read(cls, path: Path) -> TripleGraph:
        """The graph of a file with a triple a line, tabs between its parts; a header line of those names is left out.

        Raises:
            SpecError: a line is not three parts, or the file cannot be read as UTF-8.
        """
        try:
            return cls.of(_triples(path))
        except UnicodeDecodeError as error:
            raise SpecError(f"{path.name}: not UTF-8 at byte {error.start:,}. Save it as UTF-8") from error

    def triples(self) -> Iterator[Triple]:
        """All, by their heads."""
        return (triple for by in self.forward.values() for triples in by.values() for triple in triples)

    def named_in(self, text: str) -> list[str]:
        """Entities whose names stand in a text, in its order; a longer name covers the shorter ones within it."""
        words, place, found = _words(text), 0, list[str]()
        while place < len(words):
            for length in range(min(_LONGEST_NAME, len(words) - place), 0, -1):
                if entities := self.names.get(words[place : place + length]):
                    found += entities
                    place += length
                    break
            else:
                place += 1
        return list(dict.fromkeys(found))

    def moves(self, entities: Iterable[str], *, back: bool) -> dict[str, list[Triple]]:
        """Name of a move -> the triples that it follows, over all of these entities; moves from tail to head end in " of"."""
        found: dict[str, list[Triple]] = {}
        for entity in entities:
            for relation, triples in self.forward.get(entity, {}).items():
                found.setdefault(relation, []).extend(triples)
        for entity in entities if back else ():
            for relation, triples in self.backward.get(entity, {}).items():
                found.setdefault(relation + BACK, []).extend(triples)
        return found


def _triples(path: Path) -> Iterator[Triple]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            parts = tuple(part.strip() for part in line.rstrip("\r\n").split("\t"))
            if not any(parts) or (number == 1 and parts == HEADER):
                continue
            if len(parts) != len(HEADER) or not all(parts):
                raise SpecError(
                    f"{path.name}:{number}: a line is head, relation and tail with tabs between, got {line!r}"
                )
            yield Triple(*parts)


def _frozen(by: Mapping[str, list[Triple]]) -> dict[str, tuple[Triple, ...]]:
    return {relation: tuple(triples) for relation, triples in by.items()}


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))
