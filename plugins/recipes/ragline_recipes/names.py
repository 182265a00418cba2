"""A dictionary of names in a file -> name, language, name; and where its names stand in a text. What the file says is
checked line by line, and bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.files import numbered, records
from rag.writing import UNSPACED, folded

Counterparts = Mapping[str, str]
"""Language -> the name there."""

_DISAMBIGUATOR = re.compile(r"\s*\([^()]*\)\s*$")
_COLUMNS = ("source", "target", "language")
_MOST_BYTES = 256_000_000
_MOST_NAMES = 2_000_000
_LONGEST = 200
"""Characters of a name; longer ones are no names, and a text is compared with as many words as the longest has."""


Entity = tuple[int, int, Counterparts]
"""Start and end of a name in a text, and its counterparts by language."""

_UNIT = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+")
"""A word, or a letter of text without spaces between words. Names are whole units, one or several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dictionary:
    """`names`: folded name -> its counterparts. `longest`: folded first unit -> units of the longest name that begins so."""

    names: Mapping[str, Counterparts]
    longest: Mapping[str, int]

    def entities(self, text: str) -> list[Entity]:
        """Names in the text from left to right, in any letter case, the longest at each place, none inside another."""
        units = list(_UNIT.finditer(text))
        found: list[Entity] = []
        first = 0
        while first < len(units):
            reach = first + self.longest.get(folded(units[first][0]), 0)
            for last in range(min(reach, len(units)) - 1, first - 1, -1):
                start, end = units[first].start(), units[last].end()
                if counterparts := self.names.get(folded(text[start:end])):
                    found.append((start, end, counterparts))
                    first = last
                    break
            first += 1
        return found


def read_dictionary(path: Path) -> Dictionary:
    """The dictionary in a file, its names without disambiguators such as "(film)".

    `.tsv`: source, target and language between tabs, with a header line or without. `.jsonl`: objects with these fields.
    Anything else is JSON, {"Germany": {"de": "Deutschland"}}. Of several counterparts in a language the first is kept.

    Raises:
        SpecError: it cannot be read, is too large, or has a line or an entry of another form; says which.
    """
    try:
        size = path.stat().st_size
    except OSError as cause:
        raise SpecError(f"dictionary '{path}' cannot be read: {cause.strerror or cause}") from cause
    if size > _MOST_BYTES:
        raise SpecError(
            f"dictionary '{path}' has {size:,} bytes; at most {_MOST_BYTES:,} are read. Split it by language"
        )
    read = {".tsv": _columns, ".jsonl": _objects}.get(path.suffix, _mapping)
    names: dict[str, dict[str, str]] = {}
    longest: dict[str, int] = {}
    for place, source, target, language in read(path):
        if max(len(source), len(target)) > _LONGEST:
            raise SpecError(f"{place}: a name has at most {_LONGEST} characters")
        key, name, units = folded(_plain(source)), _plain(target), _UNIT.findall(_plain(source))
        if key and name and units:
            names.setdefault(key, {}).setdefault(language, name)
            longest[folded(units[0])] = max(len(units), longest.get(folded(units[0]), 0))
        if len(names) > _MOST_NAMES:
            raise SpecError(f"{place}: a dictionary has at most {_MOST_NAMES:,} names. Split it by language")
    return Dictionary(names=names, longest=longest)


Entry = tuple[str, str, str, str]
"""Where it stands, source, target and language."""


def _columns(path: Path) -> Iterator[Entry]:
    for number, line in numbered(path):
        cells = [cell.strip() for cell in line.split("\t")]
        place = f"{path}:{number}"
        if len(cells) != len(_COLUMNS):
            raise SpecError(f"{place}: 3 columns between tabs are wanted (source target language), not {len(cells)}")
        if number == 1 and tuple(cell.casefold() for cell in cells) == _COLUMNS:
            continue
        yield _entry(place, *cells)


def _objects(path: Path) -> Iterator[Entry]:
    for number, record in records(path):
        yield _entry(f"{path}:{number}", *(record.get(name) for name in _COLUMNS))


def _mapping(path: Path) -> Iterator[Entry]:
    try:
        dictionary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        raise SpecError(f"dictionary '{path}' cannot be read: {cause}") from cause
    if not isinstance(dictionary, dict):
        raise SpecError(f"dictionary '{path}' must map names to languages to names")
    seen: set[str] = set()
    for name, counterparts in dictionary.items():
        if (key := folded(_plain(name))) in seen:
            continue  # another thing of the same name: the first keeps its counterparts to itself
        seen.add(key)
        place = f"dictionary '{path}': {name[:80]!r}"
        if not isinstance(counterparts, dict):
            raise SpecError(f"{place} must map language codes to names")
        for language, target in counterparts.items():
            yield _entry(place, name, target, language)


def _entry(place: str, source: Any, target: Any, language: Any) -> Entry:
    for name, value in zip(_COLUMNS, (source, target, language), strict=True):
        if not isinstance(value, str):
            raise SpecError(f"{place}: {name} must be text, got {type(value).__name__}")
    if not language.strip():
        raise SpecError(f"{place}: language is empty; an ISO 639-1 code such as de is wanted")
    return place, source, target, language.strip()


def _plain(name: str) -> str:
    return _DISAMBIGUATOR.sub("", name).strip()
