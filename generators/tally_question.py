"""Whether a question asks for a number of documents, all of them, a sum, or the first or last: told by rules, without a model.

It is one by its form ("how many", "list all", "the latest") and by what it names: what documents are called (pages, or the
table that they are rows of), and a value or a field of theirs. "How many days of leave" asks for what one passage says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from generators.tally_forms import forms, words_of
from generators.tally_words import (
    ALL,
    BETWEEN,
    CAN,
    COUNT,
    COUNT_IT,
    ENDS,
    EVERYTHING,
    FORMS,
    MONTHS,
    MOST,
    SUM,
    THINGS,
)
from retrievers.index.fields import OF_CHUNKS, Field

Metadata = Mapping[str, Any]

_DATE = re.compile(r"\b(?:19|20)\d\d(?:-\d\d(?:-\d\d)?)?\b")
_SUPERLATIVE = re.compile(r"[^\W\d_]{3,}(?:iest|est|ste|sten|ster|stes)")
"""hottest, heaviest, kälteste: many other words end so, and of the rows of a table alone it is asked."""
_NAMED_NUMBER = re.compile(
    r"\b(?:phone|telephone|mobile|cell|fax|extension|hotline|emergency|contact|room|house|flight|account|customer|membership|tax"
    r"|order|invoice|serial|part|model|version|id|identification|reference|registration|tracking) number of\b"
)
"""The phone number of somebody is one that a passage says."""
_BEGINS = 4
"""Words within which a question begins: "Please can you count"."""
_NEAR = 3
"""Words between a form and what it counts."""
_LONGEST = 12
"""Words of a value that are looked for."""
_MOST_WORDS, _MOST_CHARACTERS = 40, 1_000
"""Whoever asks in more asks for something else too."""
_NO_VALUES = THINGS | MONTHS | {word for form in FORMS for word in form.split()}
"""A city may be called Many, and another one March: a question that has the word says nothing of them."""
_LONG = 5
"""Letters of a word of a table's name that tells it alone: "Seattle" for seattle-weather."""
_TOO_MANY = 0.5
"""A field that has more values than this share of the documents names them, and parts them into no groups."""


@dataclass(frozen=True)
class Known:
    """What questions can name of some documents.

    Args:
        fields: of these documents.
        n: how many they are.
        tables: name of a table, such as orders -> what `source` says of its rows; of several files, if they are called alike.
    """

    fields: Mapping[str, Field]
    n: int
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def values(self) -> Mapping[str, Mapping[str, Any]]:
        """Values that part the documents into groups, as `phrases` gives them -> the fields that have each, and as what."""
        found: dict[str, dict[str, Any]] = {}
        for each in self.fields.values():
            if not each.ordered and not self._names_each(each):
                for value in each.values:
                    found.setdefault(" ".join(words_of(str(value))), {})[each.name] = value
        return {phrase: fields for phrase, fields in found.items() if len(phrase) > 2 and phrase not in _NO_VALUES}

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of fields, in the singular and in the plural."""
        return _forms(self.fields)

    def names_of(self, phrases: Iterable[str]) -> frozenset[str]:
        """Those of fields that have one of these values."""
        return _forms(name for phrase in phrases for name in self.values[phrase])

    @cached_property
    def things(self) -> Mapping[str, tuple[str, ...]]:
        """What the rows of a table are called -> what `source` says of them."""
        return {form: sources for name, sources in self.tables.items() for form in forms(" ".join(words_of(name)))}

    @property
    def dated(self) -> bool:
        """Whether a field holds dates."""
        return any(each.kind == "date" for each in self.fields.values())

    @property
    def ordered(self) -> bool:
        """Whether a field has an order."""
        return any(each.ordered for each in self.fields.values())

    def table_by_a_word(self, words: Collection[str]) -> tuple[str, ...]:
        """What `source` says of the one table of whose name these have a long word; empty where there are none or several."""
        found = {
            sources
            for name, sources in self.tables.items()
            if any(len(word) >= _LONG and word in words for word in words_of(name) if word not in _NO_VALUES)
        }
        return found.pop() if len(found) == 1 else ()

    def table_of_most(self, found: Sequence[Metadata]) -> tuple[str, ...]:
        """What `source` says of the table that more than half of these are rows of; empty where there is none."""
        sources = [str(each.get("source")) for each in found]
        return next(
            (own for own in self.tables.values() if 2 * sum(each in own for each in sources) > len(sources)), ()
        )

    def _names_each(self, each: Field) -> bool:
        return each.name == "source" or len(each.values) > max(20, _TOO_MANY * self.n)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks of all documents.

    `sources`: of the rows of this table alone; empty where it names none, or two. `number`: whether it is a number, which
    nothing but counting can tell. `most`: whether it is the most, the least or the mean.
    """

    sources: tuple[str, ...] = ()
    number: bool = True
    most: bool = False


def has_form(question: str) -> bool:
    """Whether a question may be one of these: cheap, and before anything of the documents is known."""
    words = _short(question)
    return any(True for _ in _after(words, FORMS)) or _has_superlative(words)


def read_question(question: str, known: Known, *, found: Sequence[Metadata] = ()) -> Asked | None:
    """What is asked of all documents; None where a question asks for what passages say.

    Args:
        found: of each passage that was found. Where most are rows of one table, a sum, the most, the least and the mean are
            asked of that table, and a number of rows where several of those have a name that the question has.
    """
    said, table = _Said(_short(question), question[:_MOST_CHARACTERS], known), known.table_of_most(found)
    if not said.sources and (sources := said.summed_table(table)):
        return Asked(sources)
    number = said.counts() or said.sums()
    if not number and table and said.counts_rows(found):
        return Asked(table)
    if not number and table and said.most():
        return Asked(table, number=False, most=True)
    if number or said.lists():
        return Asked(said.sources, number)
    return Asked(said.sources, number=False, most=bool(said.sources)) if said.ends() else None


class _Said:
    """A question, and what it names."""

    def __init__(self, words: Sequence[str], question: str, known: Known) -> None:
        self.words, self._known = words, known
        phrases = set(_phrases(words))
        self._values = {phrase for phrase in phrases if phrase in known.values}
        self._names = phrases & known.names
        self._dates = known.dated and bool(_DATE.search(question) or MONTHS & set(words))
        self._tables = [known.things[phrase] for phrase in phrases if phrase in known.things]
        self.sources = self._tables[0] if len(set(self._tables)) == 1 else ()

    @property
    def _evidence(self) -> int:
        """How many things are named that tell documents apart."""
        return len(self._values) + bool(self._names) + self._dates

    def counts(self) -> bool:
        """How many orders came from Berlin? How many days with snow does the weather table have?"""
        if _NAMED_NUMBER.search(" ".join(self.words)):
            return False
        verbs = (end for end in _after(self.words, COUNT_IT) if end <= _BEGINS)
        for end in chain(_after(self.words, COUNT), verbs):
            rest = self.words[end:]
            if not CAN.isdisjoint(rest[: _NEAR + 1]):
                continue
            if self._starts_with_a_thing(rest):
                return bool(self._evidence or self._tables)
            # Rows may be called anything; where another field is named, its number in a row is asked for.
            if self.sources and self._values and self._names <= self._known.names_of(self._values):
                return True
            if (not rest or rest[0] in BETWEEN) and self._evidence:
                return self._has_thing(self.words) or self._evidence > 1
        return False

    def counts_rows(self, found: Sequence[Metadata]) -> bool:
        """How many address blocks are registered to Phytec Messtechnik? Several of the rows that were found have the name."""
        names, phrases = _shared_names(found), set(_phrases(self.words))
        fields = frozenset[str]().union(*(names[phrase] for phrase in phrases if phrase in names))
        asked = any(CAN.isdisjoint(self.words[end : end + _NEAR + 1]) for end in _after(self.words, COUNT))
        others = {name for each in found for name in each if name not in fields and name not in OF_CHUNKS}
        return asked and bool(fields) and phrases.isdisjoint(_forms(others))

    def sums(self) -> bool:
        """What is the total amount of the orders from Berlin?"""
        return bool(self._names and self._tables and any(_after(self.words, SUM)))

    def summed_table(self, of_most: tuple[str, ...]) -> tuple[str, ...]:
        """How much precipitation did Seattle have in March 2014 altogether? The table is called seattle-weather.

        Args:
            of_most: the table that most of what was found are rows of.
        """
        asked = self._names and any(_after(self.words, SUM))
        return (self._known.table_by_a_word(self.words) or of_most) if asked else ()

    def lists(self) -> bool:
        """List all items on the topic ..."""
        for end in _after(self.words, ALL):
            if self._has_thing(self.words[end:]) and (self._values or self._dates):
                return True
        return bool(self._values and self._evidence > 1 and any(end < 3 for end in _after(self.words, EVERYTHING)))

    def ends(self) -> bool:
        """The latest item on the topic ..."""
        if not (self._known.ordered and (self._values or self._dates or (self._tables and self._names))):
            return False
        named = self._has_thing(self.words) or self._evidence > 1
        return named and any(_after(self.words, ENDS))

    def most(self) -> bool:
        """Which car goes farthest on a gallon? What is the average wind?"""
        return any(_after(self.words, MOST | ENDS)) or _has_superlative(self.words)

    def _starts_with_a_thing(self, words: Sequence[str]) -> bool:
        return self._has_thing(words[:_NEAR]) and (not words or words[0] not in BETWEEN)

    def _has_thing(self, words: Sequence[str]) -> bool:
        return any(word in THINGS or word in self._known.things for word in words)


def _shared_names(found: Sequence[Metadata]) -> dict[str, frozenset[str]]:
    """Values of two words and more that at least two of these have in the same field -> the fields that have each."""
    seen = Counter(
        (" ".join(words_of(value)), name)
        for each in found
        for name, value in each.items()
        if isinstance(value, str) and len(value) <= _MOST_CHARACTERS and name not in ("source", *OF_CHUNKS)
    )
    shared = [(phrase, name) for (phrase, name), n in seen.items() if n > 1 and " " in phrase]
    return {phrase: frozenset(name for other, name in shared if other == phrase) for phrase, _ in shared}


def _forms(names: Iterable[str]) -> frozenset[str]:
    found = [" ".join(words_of(name)) for name in names]
    return frozenset(form for name in found for form in forms(name))


def _short(question: str) -> list[str]:
    """Its words; none where there are too many."""
    words = words_of(question) if len(question) <= _MOST_CHARACTERS else []
    return words if len(words) <= _MOST_WORDS else []


def _has_superlative(words: Iterable[str]) -> bool:
    return any(map(_SUPERLATIVE.fullmatch, words))


def _after(words: Sequence[str], phrases: Collection[str]) -> Iterator[int]:
    """Where what follows one of some phrases begins."""
    for first in range(len(words)):
        for last in range(first + 1, min(first + 4, len(words)) + 1):
            if " ".join(words[first:last]) in phrases:
                yield last


def _phrases(words: Sequence[str]) -> Iterator[str]:
    for first in range(len(words)):
        for last in range(first + 1, min(first + _LONGEST, len(words)) + 1):
            yield " ".join(words[first:last])
