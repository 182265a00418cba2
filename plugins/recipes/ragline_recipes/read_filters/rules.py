"""Filters that a question's own words ask for, told by rules. Without a model, and in time that grows with the question alone.

A filter that nobody meant hides the answer, so a name, a year or a kind of file alone is none. A question has to say that it
asks for documents ("papers by Smith", "what did Smith write since 2019"), or to name the field ("by author Young").
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rag.filters import OPERATORS, AnyOf, Filter, Value
from ragline_recipes.read_filters.known import MOST_TOGETHER, Known, Name, written_words
from ragline_recipes.read_filters.spans import Bounds, Span, bounded, day_of, span, year_of
from ragline_recipes.read_filters.words import Words

MOST_WORDS, _MOST_CHARACTERS = 60, 1_000
"""Whoever asks in more says more than a filter."""
_PHRASE = 5
"""Words of the longest phrase of the tables, and more."""
_NAME = 12
"""Words of the longest name."""
_GAP = 3
"""Words that may stand between a document and by whom it is: "papers on wings by Smith" has two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A filter on one field, and the words of the question that ask for it."""

    field: str
    where: Filter
    said: str


def read_filters(question: str, known: Known, words: Words) -> list[Read]:
    """The filters that a question asks for, at most one a field, in the order of its words; none of a long question."""
    asked = written_words(question) if len(question) <= _MOST_CHARACTERS else []
    if not 0 < len(asked) <= MOST_WORDS:
        return []
    reading = _Reading(asked, known, words)
    found: dict[str, tuple[int, Read]] = {}
    for place, read in (*reading.named(), *reading.times(), *reading.types(), *reading.people(), *reading.sources()):
        found.setdefault(read.field, (place, read))
    return [read for _, read in sorted(found.values(), key=lambda each: each[0])]


class _Reading:
    """A question's words against what is known; every method gives filters with the place where each begins."""

    def __init__(self, written: Sequence[str], known: Known, words: Words) -> None:
        self.asked, self.known, self.words = [word.casefold() for word in written], known, words
        self._cased = any(word.islower() for word in written)
        self._written = [*written, ""]

    def named(self) -> Iterator[tuple[int, Read]]:
        """A value beside the name of its field: "by author Young", "the gunicorn program", "from the folder hr"."""
        for place in range(len(self.asked)):
            for end, fields in self._fields_at(place):
                for name_end, names in self._names_at(end):
                    if chosen := [name for name in names if name.field in fields and not name.initials]:
                        yield place, self._is(chosen, place, name_end)
                        break
                else:
                    yield from self._folder(place, end, fields)
            for end, names in self._names_at(place):
                for field_end, fields in self._fields_at(end):
                    chosen = [
                        name for name in names if name.field in fields and not name.ordinary and not name.initials
                    ]
                    if chosen:
                        yield place, self._is(chosen, place, field_end)

    def times(self) -> Iterator[tuple[int, Read]]:
        """A span of time: "published since 2019", "papers between 2018 and 2020"."""
        for place in range(len(self.asked)):
            for end, bounds in self._bounds_at(place):
                if field := self._time_field(place, bounds):
                    of_days = self.known.fields[field].kind == "date"
                    yield place, Read(field=field, where=bounded(field, bounds, of_days), said=self._said(place, end))
                    return

    def types(self) -> Iterator[tuple[int, Read]]:
        """A kind of file, where documents are what is asked for: "slides about wings", "in our PDFs"."""
        for place in range(len(self.asked)):
            for end, said in self._phrases(place, self.words.types):
                if not self._stands_for_documents(place, end):
                    continue
                endings = self.words.types[said]
                if patterns := [form for ending in endings for form in self.known.endings.get(ending, ())]:
                    where = _any([asks("source", "glob", f"*.{form}") for form in patterns])
                    yield place, Read(field="source", where=where, said=self._said(place, end))
                    return
                for field in self.known.roles["type"]:
                    if chosen := [value for value in self.known.fields[field].values if _is_type(value, endings, said)]:
                        yield place, Read(field=field, where=one_of(field, chosen), said=self._said(place, end))
                        return

    def people(self) -> Iterator[tuple[int, Read]]:
        """Who wrote: "papers by Smith or Jones", "what did Smith write", "Smith's reports"."""
        yield from self._whose("author", self.words.by)

    def sources(self) -> Iterator[tuple[int, Read]]:
        """Where it came out: "articles from Reuters", "according to the New York Times"."""
        yield from self._whose("source", self.words.of | self.words.by)

    def _whose(self, role: str, cues: Collection[str]) -> Iterator[tuple[int, Read]]:
        fields = self.known.roles[role]
        for place in range(len(self.asked)) if fields else ():
            for start, end, names in self._several(place, fields):
                if self._at(end, self.words.others):
                    return
                said = role == "source" and self._before(start, self.words.says)
                if said or self._cue_before(start, cues) or self._wrote(start, end):
                    yield start, self._is(names, start, end)
                    return

    def _several(self, place: int, fields: Collection[str]) -> Iterator[tuple[int, int, list[Name]]]:
        """The names that stand at a place, and those that are joined to them by "or" and "and"; the longest first."""
        for start, end, names in self._one(place, fields):
            joined = self._joined(end, fields)
            while joined is not None:
                end, names = joined[0], names + joined[1]
                joined = self._joined(end, fields)
            yield start, end, names
            return

    def _joined(self, place: int, fields: Collection[str]) -> tuple[int, list[Name]] | None:
        """The names behind "or" or "and" at a place, a word such as "the" between them, and the word behind them."""
        after = self._past(place, self.words.also)
        found = (
            (each for skipped in range(2) for each in self._one(after + skipped, fields)) if after is not None else ()
        )
        return next(((end, names) for _, end, names in found), None)

    def _one(self, place: int, fields: Collection[str]) -> Iterator[tuple[int, int, list[Name]]]:
        """Values of these fields that a name at a place stands for: begin, end, and they. A word that is none is no name.

        A family name may have a first name before it, which the initials of the value have to allow; a first name that is
        somebody's family name too is none.
        """
        given = self.asked[place] if place < len(self.asked) else ""
        for end, names in self._names_at(place + 1) if self._is_given(place) else ():
            if close := [name for name in names if name.field in fields and given[0] in name.initials]:
                yield place, end, close
                return
        for end, names in self._names_at(place):
            chosen = [name for name in names if name.field in fields and not name.ordinary]
            if self._is_capital(end):
                chosen = [name for name in chosen if not name.initials]
            if chosen and (len(given) > 2 or end > place + 1):
                yield place, end, chosen
                return

    def _is_given(self, place: int) -> bool:
        """Whether a word may be somebody's first name or its letter, and is no word that joins names."""
        word = self.asked[place] if place < len(self.asked) else ""
        if len(word) < 2:
            return bool(word) and (self._written[place].isupper() or not self._cased)
        every = (self.words.by, self.words.of, self.words.also, self.words.documents, self.words.did)
        return not any(word in table for table in every) and not self.known.ordinary([word])

    def _is_capital(self, place: int) -> bool:
        """Whether a word is written as a name is, in a question that also has words in lower case."""
        word = self._written[place]
        return self._cased and word[:1].isupper() and not word.isupper()

    def _cue_before(self, place: int, cues: Collection[str]) -> bool:
        """Whether a word of `cues` stands before a place, and before that one for documents."""
        at = place - 1 if place and self.asked[place - 1] == "the" else place
        return any(self._document_before(start) for start in self._starts(at, cues))

    def _wrote(self, start: int, end: int) -> bool:
        """Whether somebody whose name stands here wrote, or has papers."""
        behind = [said for _, said in self._phrases(end, self.words.wrote)]
        if self._before(start, self.words.what) or any(said.startswith("s ") for said in behind):
            return True
        if behind and self._asks_before(start):
            return True
        return self._before(start, self.words.did) and any(
            self._at(at, self.words.wrote) for at in range(end, len(self.asked))
        )

    def _asks_before(self, place: int) -> bool:
        """Whether what stands before a place says that something of somebody is asked for: "the paper that Smith wrote"."""
        return any(word in self.words.documents for word in self.asked[:place])

    def _document_before(self, place: int) -> bool:
        """Whether a word for documents stands close before a place."""
        return any(
            self._before(at, self.words.documents | self.words.types.keys())
            for at in range(max(0, place - _GAP), place + 1)
        )

    def _stands_for_documents(self, place: int, end: int) -> bool:
        """Whether a kind of file is what is asked for, or in what: the beginning of the question says so, and what follows."""
        at_the_end = place > 0 and end == len(self.asked)
        return self._opened(place) and (at_the_end or self._at(end, self.words.about))

    def _opened(self, place: int) -> bool:
        """Whether "in our" stands before a place, or nothing but words such as "show me all the"."""
        if self._before(place, self.words.inside):
            return True
        while place and (start := min(self._starts(place, self.words.opening), default=None)) is not None:
            place = start
        return place == 0

    def _time_field(self, place: int, bounds: Bounds) -> str:
        """The field that a span of time at a place is of, if documents are what is asked for: the one that is named before it,
        or the first. A name of one word, such as released, says no more than which field: it may be a verb.

        "In 2005" is most often when something was, so a document has to stand right before it: "published in 2005".
        """
        field, says_so = self._time_named(place)
        if says_so:
            return field
        closed = bool(bounds.since) and bounds.since[:4] == bounds.until[:4]
        meant = self._before(place, self.words.documents) if closed else self._has_document(place)
        return field or next(iter(self.known.roles["date"]), "") if meant else ""

    def _time_named(self, place: int) -> tuple[str, bool]:
        """The field of times that is named before a place, and whether by a name of several words; "" for none."""
        for start in range(max(0, place - _PHRASE), place):
            for end, fields in self._fields_at(start):
                for field in fields if end <= place <= end + 1 else ():
                    if self.known.is_time(field):
                        return field, end > start + 1
        return "", False

    def _has_document(self, place: int) -> bool:
        """Whether a word for documents stands before a place, anywhere."""
        every = self.words.documents | self.words.types.keys()
        return any(True for start in range(place) for end, _ in self._phrases(start, every) if end <= place)

    def _bounds_at(self, place: int) -> Iterator[tuple[int, Bounds]]:
        """The span of time that begins at a place, and the word behind it."""
        words = self.words
        for opening, between in words.between:
            if (start := self._past(place, (opening,))) is not None and (one := self._time(start)):
                middle = self._past(one.end, (between,))
                if middle is not None and (other := self._time(middle)):
                    first, last = sorted((one, other), key=lambda time: time.first)
                    yield other.end, Bounds(since=first.first, until=last.last)
                    return
        for table, made in (
            (words.after, lambda time: Bounds(after=time.last)),
            (words.before, lambda time: Bounds(before=time.first)),
            (words.until, lambda time: Bounds(until=time.last)),
            (words.since, lambda time: Bounds(since=time.first)),
            (words.within, lambda time: Bounds(since=time.first, until=time.last)),
            (("",), lambda time: None),
        ):
            start = self._past(place, table) if "" not in table else place
            if start is None or not (time := self._time(start)):
                continue
            if (end := self._past(time.end, words.onwards)) is not None:
                yield end, Bounds(since=time.first)
            elif (end := self._past(time.end, words.backwards)) is not None:
                yield end, Bounds(until=time.last)
            elif (bounds := made(time)) is not None:
                yield time.end, bounds
            return

    def _time(self, place: int) -> Span | None:
        """A year, a month of a year, or a day at a place: 2019, March 2019, 5 March 2019, March 5 2019, 2019-03, 2019-03-05."""
        words = [*self.asked[place : place + 3], "", "", ""][:3]
        year = [year_of(word) for word in words]
        months = [self.words.months.get(word, 0) for word in words]
        if year[0]:
            return self._numbers(year[0], words, place)
        if months[0] and year[1]:
            return span(year[1], months[0], 0, place + 2)
        if months[0] and year[2]:
            return span(year[2], months[0], day_of(words[1]), place + 3)
        if months[1] and year[2]:
            return span(year[2], months[1], day_of(words[0]), place + 3)
        return None

    def _numbers(self, year: int, words: Sequence[str], place: int) -> Span | None:
        """A year, and the month and day that stand behind it as two digits each."""
        month = int(words[1]) if len(words[1]) == 2 and words[1].isascii() and words[1].isdigit() else 0
        if not 1 <= month <= 12:
            return span(year, 0, 0, place + 1)
        written = words[2].partition("t")[0]  # 05t10 is of 2024-03-05T10:00
        day = day_of(written) if len(written) == 2 else 0
        return span(year, month, day, place + 2 + bool(day))

    def _folder(self, place: int, end: int, fields: Collection[str]) -> Iterator[tuple[int, Read]]:
        """Files of a folder that is named: "from the folder hr"."""
        if fields is not self.known.roles["path"]:
            return
        for last in range(min(end + _NAME, len(self.asked)), end, -1):
            if ways := self.known.folders.get(" ".join(self.asked[end:last])):
                where = _any([asks("source", "prefix", way) for way in ways])
                yield place, Read(field="source", where=where, said=self._said(place, last))
                return

    def _fields_at(self, place: int) -> Iterator[tuple[int, Collection[str]]]:
        """Names of fields, and words for what they are for, that begin at a place: the word behind, and the fields."""
        for end, said in self._phrases(place, self.known.called):
            if said not in self.words.by and said not in self.words.of:  # a field may be called "from"
                yield end, self.known.called[said]
        for end, said in self._phrases(place, self.words.named):
            if fields := self.known.roles[self.words.named[said]]:
                yield end, fields

    def _names_at(self, place: int) -> Iterator[tuple[int, tuple[Name, ...]]]:
        """Names of values that begin at a place, the longest first; one that too many values go by is none."""
        for end in range(min(place + _NAME, len(self.asked)), place, -1):
            names = self.known.names.get(" ".join(self.asked[place:end]), ())
            if 0 < len(names) <= MOST_TOGETHER:
                yield end, names

    def _is(self, names: Sequence[Name], start: int, end: int) -> Read:
        field = names[0].field
        values = list({Value(name.value).name: name.value for name in names if name.field == field}.values())
        return Read(field=field, where=one_of(field, values), said=self._said(start, end))

    def _said(self, start: int, end: int) -> str:
        return " ".join(self.asked[start:end])

    def _phrases(self, place: int, table: Collection[str]) -> Iterator[tuple[int, str]]:
        """Phrases of a table that begin at a place, the longest first, and the word behind each."""
        for end in range(min(place + _PHRASE, len(self.asked)), place, -1):
            if (said := self._said(place, end)) in table:
                yield end, said

    def _at(self, place: int, table: Collection[str]) -> bool:
        return any(True for _ in self._phrases(place, table))

    def _past(self, place: int, table: Collection[str]) -> int | None:
        """The word behind the longest phrase of a table that begins at a place."""
        return next((end for end, _ in self._phrases(place, table)), None)

    def _starts(self, place: int, table: Collection[str]) -> Iterator[int]:
        """Where phrases of a table begin that end before a place."""
        for start in range(max(0, place - _PHRASE), place):
            if self._said(start, place) in table:
                yield start

    def _before(self, place: int, table: Collection[str]) -> bool:
        return any(True for _ in self._starts(place, table))


def asks(field: str, operator: str, value: Any) -> Filter:
    """The condition that an operator of `OPERATORS` makes of a field and a value."""
    return OPERATORS[operator].condition(field, value)


def one_of(field: str, values: Sequence[Any]) -> Filter:
    """The condition that a field has one of some values, one at least."""
    return asks(field, "eq", values[0]) if len(values) == 1 else asks(field, "in", tuple(values))


def _any(parts: Sequence[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _is_type(value: Any, endings: Collection[str], said: str) -> bool:
    """Whether a value of a field such as `type` is what files of these endings are called: pdf, .PDF, slides, application/pdf."""
    text = str(value)[:100].casefold()
    return text.lstrip(".").rpartition("/")[2] in endings or text in (said, said.removesuffix("s"))
