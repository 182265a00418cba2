"""What questions can name of an index: its fields by what they are for, and the names that their values go by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rag.filters import Value
from rag.indexes import Field
from ragline_recipes.read_filters.words import ROLES

_WORD = re.compile(r"[^\W_]+")
_ALONE = re.compile(r"(?<![\w./@:-])[^\W_]+(?![\w/@-]|[.:]\w)")
"""A word that is no part of an address: "cdc" of www.cdc.gov is none."""
_LONGEST = 12
"""Words of a name."""
MOST_VALUES = 10_000
"""Values of a field that can be told apart from others; `rag.indexes.fields_of` remembers no more."""
MOST_TOGETHER = 50
"""Values that one name may stand for, such as a family name."""
_LOWER_TEXTS, _LOWER_CHARACTERS = 2_000, 2_000
"""Texts that are looked at for ordinary words, and how much of each."""
_YEARS = range(1000, 2200)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case.

    >>> words_of("Smith, J.'s e-mail")
    ['smith', 'j', 's', 'e', 'mail']
    """
    return [word.casefold() for word in written_words(text)]


def written_words(text: str) -> list[str]:
    """The same as they are written."""
    return _WORD.findall(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What a value is called. `initials`: of the other names of a person whose family name this is; empty for a whole name.

    `ordinary`: documents write all of its words in lower case, so that it may be meant as a word.
    """

    field: str
    value: Any
    initials: frozenset[str] = frozenset()
    ordinary: bool = False


class Ordinary:
    """Words that documents write in lower case: a name that is one of them may be meant as a word."""

    def __init__(self) -> None:
        self._seen = set[str]()
        self._n = 0

    def look(self, text: str) -> None:
        """Learn from the beginning of a text, if few were looked at before."""
        if self._n < _LOWER_TEXTS:
            self._n += 1
            self._seen.update(filter(str.islower, _ALONE.findall(text[:_LOWER_CHARACTERS])))

    def __call__(self, words: Iterable[str]) -> bool:
        return all(word in self._seen for word in words)


@dataclass(frozen=True)
class Known:
    """Fields of an index, and what of them a question may name. Made once for whoever may read the same documents.

    Args:
        fields: of documents that whoever asks may read.
        ordinary: words that these documents write in lower case.
    """

    fields: Mapping[str, Field]
    ordinary: Ordinary

    @cached_property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Role -> the fields that have it, in the order of `ROLES`; a field of dates has to hold dates or years."""
        found = {
            role: tuple(
                name
                for known in names
                for name in self.fields
                if name.casefold().strip("_") == known and (role != "date" or self.is_time(name))
            )
            for role, names in ROLES.items()
        }
        return {**found, "path": ("source",) if self.paths else ()}

    def is_time(self, name: str) -> bool:
        """Whether a field holds dates, or years."""
        field = self.fields[name]
        if field.kind == "date":
            return True
        numbers = [Value(value).number for value in field.values]
        return bool(numbers) and all(number is not None and number in _YEARS for number in numbers)

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The files that documents come from; empty where `source` says no file."""
        field = self.fields.get("source")
        values = [value for value in field.values if isinstance(value, str)] if field is not None else []
        return tuple(values) if values and all(_ending(value) or "/" in value for value in values) else ()

    @cached_property
    def endings(self) -> Mapping[str, tuple[str, ...]]:
        """Ending of files in lower case -> as files have it."""
        found: dict[str, dict[str, None]] = {}
        for path in self.paths:
            if ending := _ending(path):
                found.setdefault(ending.casefold(), {})[ending] = None
        return {ending: tuple(forms) for ending, forms in found.items()}

    @cached_property
    def folders(self) -> Mapping[str, tuple[str, ...]]:
        """Words of a folder's name -> the folders that are called so, each with the way to it and a slash."""
        found: dict[str, dict[str, None]] = {}
        for path in self.paths:
            parts = path.split("/")[:-1]
            for n in range(len(parts)):
                found.setdefault(" ".join(words_of(parts[n])), {})["/".join(parts[: n + 1]) + "/"] = None
        return {name: tuple(ways) for name, ways in found.items() if name and len(ways) <= MOST_TOGETHER}

    @cached_property
    def names(self) -> Mapping[str, tuple[Name, ...]]:
        """Words of a name, with blanks between them -> the values that go by it."""
        found: dict[str, list[Name]] = {}
        people = set(self.roles["author"])
        for field in self.fields.values():
            if self.is_time(field.name) or (field.name == "source" and self.paths):
                continue
            for value in field.values:
                for words, initials in _called(str(value), field.name in people):
                    name = Name(field=field.name, value=value, initials=initials, ordinary=self.ordinary(words))
                    found.setdefault(" ".join(words), []).append(name)
        for path in self.paths:
            words = words_of(path.rpartition("/")[2])
            if _ending(path) and 1 < len(words) <= _LONGEST:
                found.setdefault(" ".join(words), []).append(Name(field="source", value=path))
        return {words: tuple(names) for words, names in found.items()}

    @cached_property
    def called(self) -> Mapping[str, tuple[str, ...]]:
        """What a field is called in words -> the fields that are called so."""
        found: dict[str, dict[str, None]] = {}
        for name in self.fields:
            found.setdefault(" ".join(words_of(name)), {})[name] = None
        return {words: tuple(names) for words, names in found.items() if words}

    @property
    def bounded(self) -> list[str]:
        """Fields with more values than are remembered: some of their names are not known."""
        return [field.name for field in self.fields.values() if len(field.values) >= MOST_VALUES]


def _ending(path: str) -> str:
    """The ending of a file's name; empty without one."""
    match = re.search(r"[^/.]\.([A-Za-z0-9]{1,8})\Z", path[-64:])
    return match[1] if match else ""


def _called(value: str, is_person: bool) -> Iterator[tuple[Sequence[str], frozenset[str]]]:
    """The words of a value, and of a person the other ways to write the name, each with the initials that it leaves out."""
    words = words_of(value[:200])
    if not 0 < len(words) <= _LONGEST:
        return
    yield words, frozenset()
    if not is_person or len(words) == 1:
        return
    if "," in value:  # Smith, J. M.
        family, given = words_of(value.partition(",")[0]), words_of(value.partition(",")[2])
        if family and given:
            yield [*given, *family], frozenset()
    else:  # John Smith
        family, given = words[-1:], words[:-1]
    if family and given and max(map(len, family)) > 1:
        yield family, frozenset(word[0] for word in given)
