"""Which numbers of a page are those of recorded lines.

A section names the files of its lines: by the commands in its text, by the sections that it links to, or in
`not_reached.yaml`. A cell of a table is reached by a number of a line that says what the other cells of its row and of its
column say in common: the set of the row, the system of the column. A number of a sentence is reached by a line or a cell of
which the sentence names something. What is reached by nothing stands in `not_reached.yaml`, with the reason.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from math import log
from statistics import fmean

import numpy as np

from docs.leaves import leaves
from docs.page_figures import Number, Table, numbers

Place = tuple[int, int, int]
"""Row, column, and place in the cell."""

SCALES = (1.0, 1e3, 1e6, 100.0, 1e-3, 1e-6, 1e-5, 2.0**-20, 2.0**-10)
"""A line may have seconds where a page has milliseconds, or bytes where it has megabytes."""
_AGREED = 0.75
"""The share of other cells that makes a rule for a cell."""
_PLACE = ("path", "key", "as")
_UNSAID = ("file", "path", "age", "line", "by", "as", "scale", "of")
"""Features that no label or sentence can be expected to name."""


@dataclass(frozen=True, slots=True)
class Match:
    value: float
    features: frozenset[str]
    line: int


class Pool:
    """The numbers of some files."""

    def __init__(self, files: Iterable[str]) -> None:
        self.leaves = sorted(
            (leaf for name in sorted(set(files)) for leaf in leaves(name)), key=lambda leaf: leaf.value
        )
        self._values = np.array([leaf.value for leaf in self.leaves])
        self._matches: dict[tuple[int, float], Match] = {}
        counted = Counter(feature for leaf in self.leaves for feature in leaf.features)
        self.rarity = {feature: log(len(self.leaves) / n) for feature, n in counted.items()}
        self.named: dict[str, set[str]] = defaultdict(set)
        for feature in counted:
            kind, _, value = feature.partition("=")
            if kind not in _UNSAID and plain(value):
                self.named[plain(value)].add(feature)

    def of(self, number: Number, scales: Sequence[float] = SCALES) -> list[Match]:
        """Those that are written like this one."""
        found = []
        for scale in (100.0, 1.0) if number.text.endswith("%") else scales:
            low, high = sorted(((number.value - number.half) / scale, (number.value + number.half) / scale))
            edge = 1e-9 * (abs(low) + abs(high)) + 1e-15
            first, last = np.searchsorted(self._values, [low - edge, high + edge])
            found += [self._match(place, scale) for place in range(int(first), int(last))]
        return found

    def _match(self, place: int, scale: float) -> Match:
        """Made once, for many numbers are written like one."""
        if (kept := self._matches.get((place, scale))) is None:
            leaf = self.leaves[place]
            kept = Match(leaf.value * scale, leaf.features | {f"scale={scale:g}"}, leaf.line)
            self._matches[place, scale] = kept
        return kept


@lru_cache(maxsize=16)  # sections of a page tell of the same files
def pool_of(files: frozenset[str]) -> Pool:
    return Pool(files)


def plain(text: str) -> str:
    """Its letters and digits.

    >>> plain("**xquad/en**, `fused`")
    'xquad en fused'
    """
    return " ".join(re.findall(r"[a-z0-9+.]+", text.lower().replace("*", "").replace("`", "")))


def reach_table(table: Table, pool: Pool) -> dict[Place, Match]:
    """The cells that lines have."""
    written = {
        (row, column, place): number
        for row, cells in enumerate(table.rows)
        for column, cell in enumerate(cells)
        for place, number in enumerate(cell)
    }
    found = {at: pool.of(number) for at, number in written.items()}
    found = {at: each for at, each in found.items() if each}
    rows, columns = _grouped(found, lambda at: at[0]), _grouped(found, lambda at: at[1:])
    for groups, label in ((rows, lambda at: table.labels[at[0]]), (columns, lambda at: table.header[at[1]])):
        for group in groups.values():
            _keep_named(found, group, pool.named.get(plain(label(group[0]))))
    whole: dict[Place, Match] = {}
    intervals = _intervals(written, found)
    said = {at: [replace(match, features=_without_by(match)) for match in each] for at, each in intervals.items()}
    for at, picked in _fitting(said, pool.rarity).items():
        of = _of_interval(intervals[at][next(n for n, each in enumerate(said[at]) if each is picked)], _ENDS[0])
        ends = {(at[0], at[1], at[2] + step): name for step, name in enumerate(_ENDS)}
        own = {place: [each for each in found[place] if _of_interval(each, name) == of] for place, name in ends.items()}
        if all(own.values()):
            found.update(own)
            whole.update({place: some[0] for place, some in own.items()})
    kept = whole | {at: match for at, match in _fitting(found, pool.rarity).items() if at not in whole}
    return kept | _derived(written, kept)


def _fitting(found: Mapping[Place, list[Match]], rarity: Mapping[str, float]) -> dict[Place, Match]:
    """Of each cell a match that says what the others of its row and of its column say in common."""
    rows, columns = _grouped(found, lambda at: at[0]), _grouped(found, lambda at: at[1:])
    picked = _picked(found, {at: (rows[at[0]], columns[at[1:]]) for at in found}, rarity)
    kept = {}
    for at in found:
        row, column = _agreed(picked, rows[at[0]], at), _agreed(picked, columns[at[1:]], at)
        ways = (_rules(column, row), _rules(row, column), *_of_line(row, column), *_of_line(column, row))
        fitting = (match for match in (picked[at], *found[at]) if any(rules <= match.features for rules in ways))
        if (first := next(fitting, None)) is not None:
            kept[at] = first
    return kept


_ENDS = ("mean", "low", "high")
_MEANS = {"mean": ("as=mean", "as=share")}


def _without_by(match: Match) -> frozenset[str]:
    """What it is of, however its questions were put together."""
    return frozenset(each for each in match.features if _kind(each) != "by")


def _of_interval(match: Match, name: str) -> object:
    """What a mean, or an end of its interval, is of; the same of all three. None where it is not the one that is named."""
    if match.line >= 0:
        return match.line, next(each for each in match.features if each.startswith("scale="))
    rest = frozenset(each for each in match.features if _kind(each) not in ("path", "as"))
    return rest if match.features.intersection(_MEANS.get(name, (f"as={name}",))) else None


def _intervals(written: Mapping[Place, Number], found: Mapping[Place, list[Match]]) -> dict[Place, list[Match]]:
    """Where cells say a mean and the ends of its interval: the means of which one line, or some questions, have both ends."""
    whole: dict[Place, list[Match]] = {}
    for at, number in written.items():
        places = [(at[0], at[1], at[2] + step) for step in range(len(_ENDS))]
        if not all(place in found for place in places):
            continue
        low, high = written[places[1]], written[places[2]]
        if low.half == high.half == number.half and low.value <= number.value <= high.value:
            ends = [
                {_of_interval(each, name) for each in found[place]} for name, place in zip(_ENDS, places, strict=True)
            ]
            both = set.intersection(*ends) - {None}
            if fitting := [each for each in found[at] if _of_interval(each, _ENDS[0]) in both]:
                whole[at] = fitting
    return whole


def _grouped(places: Iterable[Place], key: object) -> dict[object, list[Place]]:
    groups: dict[object, list[Place]] = defaultdict(list)
    for at in places:
        groups[key(at)].append(at)  # type: ignore[operator]
    return groups


def _keep_named(found: dict[Place, list[Match]], group: Sequence[Place], named: set[str] | None) -> None:
    """Where a label is what lines say, only lines that say so."""
    if named:
        kept = {at: [match for match in found[at] if not named.isdisjoint(match.features)] for at in group}
        if 2 * sum(map(bool, kept.values())) >= len(group):
            found.update(kept)


def _picked(
    found: Mapping[Place, list[Match]], beside: Mapping[Place, tuple[list[Place], ...]], rarity: Mapping[str, float]
) -> dict[Place, Match]:
    """Of each cell the match that has most in common with those of its row and its column."""
    sums = {at: _Sums(each) for at, each in found.items() if each}
    picked = {at: Match(0.0, frozenset(), -1) for at in found}
    said = {at: sums[at].features if at in sums else frozenset[str]() for at in found}
    for _ in range(3):
        shared: dict[int, dict[str, int]] = {}
        for groups in beside.values():
            for group in groups:
                if id(group) not in shared:
                    counted = Counter(f for at in group for f in said[at])
                    weights = {f: rarity.get(f, 0.5) * n / len(group) for f, n in counted.items()}
                    shared[id(group)] = {f: round(weight * _EXACT) for f, weight in weights.items()}
        for at, each in sums.items():
            picked[at] = found[at][each.largest([shared[id(group)] for group in beside[at]])]
            said[at] = picked[at].features
    return picked


class _Sums:
    """Which of some matches has the largest sum of what its features weigh; the first of several."""

    def __init__(self, matches: Sequence[Match]) -> None:
        self._ids: dict[str, int] = {}
        of_all = [self._ids.setdefault(f, len(self._ids)) for match in matches for f in match.features]
        self._features = np.array(of_all)
        self._starts = np.cumsum([0, *(len(match.features) for match in matches[:-1])])
        self.features = frozenset(self._ids)
        """All that any of them has."""

    def largest(self, shared: Sequence[Mapping[str, int]]) -> int:
        weights = np.array([sum(each.get(f, 0) for each in shared) for f in self._ids])
        return int(np.argmax(np.add.reduceat(weights[self._features], self._starts)))


_EXACT = 2**32
"""Weights are counted in these parts: sums of whole numbers are the same in any order."""


def _agreed(picked: Mapping[Place, Match], group: Sequence[Place], at: Place) -> set[str]:
    """What most of the other cells have."""
    others = [picked[each].features for each in group if each != at and picked[each].features]
    counted = Counter(feature for features in others for feature in features)
    return {feature for feature, n in counted.items() if n >= _AGREED * len(others)} if len(others) > 1 else set()


def _rules(place: set[str], other: set[str]) -> set[str]:
    """Both, but for what they contradict each other in. The place in the line is as the first says, where it says one."""
    if any(each.startswith("path=") for each in place):
        other = {each for each in other if _kind(each) not in _PLACE}
    said = defaultdict(set)
    for each in place | other:
        said[_kind(each)].add(each)
    return {
        each
        for each in place | other
        if _kind(each) in _PLACE or (len(said[_kind(each)]) == 1 and _kind(each) != "line")
    }


def _of_line(one: set[str], other: set[str]) -> Iterator[set[str]]:
    """Where the others of a row, or of a column, are of one line, only that and the place in it count."""
    line = {each for each in one if _kind(each) == "line"}
    if line:
        yield line | {each for each in other if _kind(each) in (*_PLACE, "scale")}


def _kind(feature: str) -> str:
    return feature.partition("=")[0]


def _derived(written: Mapping[Place, Number], kept: Mapping[Place, Match]) -> dict[Place, Match]:
    """Differences, ratios and means of other cells of the row, or of the column: in one way in most cells of their like."""
    found: dict[Place, Match] = {}
    for line, like in ((lambda at: at[0], lambda at: at[1:]), (lambda at: at[1:], lambda at: at[0])):
        lines: dict[object, dict[object, float]] = defaultdict(dict)
        for at, match in kept.items():
            lines[line(at)][like(at)] = match.value
        missing = _grouped((at for at in written if at not in kept and at not in found), like)
        for group in missing.values():
            ways: dict[object, list[Place]] = defaultdict(list)
            for at in group:
                for way, value in _ways(lines[line(at)], at[2]):
                    if abs(value - written[at].value) <= written[at].half * 1.000001:
                        ways[way].append(at)
            best = max(ways.values(), key=len, default=[])
            if len(best) >= max(2, 0.6 * len(group)):
                found |= {at: Match(written[at].value, frozenset({"of=cells"}), -1) for at in best}
    return found


def _ways(line: Mapping[object, float], place: int) -> Iterator[tuple[object, float]]:
    for one, a in line.items():
        for other, b in line.items():
            if one != other:
                yield (one, other, "less"), a - b
                if b:
                    yield (one, other, "to"), a / b
    firsts = [value for at, value in line.items() if not isinstance(at, tuple) or at[1] == place]
    if len(firsts) > 2:
        yield "mean", fmean(firsts)
        yield "sum", sum(firsts)


class Said:
    """What sentences of a section may tell: lines, cells that lines have, and their differences."""

    def __init__(self, pool: Pool, tables: Sequence[tuple[Table, Mapping[Place, Match]]]) -> None:
        self._pool = pool
        self._cells = _Near(each for table, kept in tables for each in _cells(table, kept))
        self._apart = _Near(each for table, kept in tables for each in _apart(table, kept))

    def reached(self, sentence: str) -> list[tuple[Number, bool]]:
        """Its numbers, and whether something that it names has them."""
        written = numbers(sentence)
        names = self._names(sentence)
        together = [
            each for start in range(len(written) - 2) if self._is_interval(sentence, each := written[start : start + 3])
        ]
        whole = {id(number) for each in together for number in each if self._same_line(each)}
        return [(number, id(number) in whole or self._is_told(number, names)) for number in written]

    def _names(self, sentence: str) -> frozenset[str]:
        text = f" {plain(sentence)} "
        words = {word for word in text.split() if len(word) > 2 and word not in _COMMON}
        return frozenset(
            feature
            for name, of in self._pool.named.items()
            if not name.isdigit() and f" {name} " in text
            for feature in of
        ) | {f"word={word}" for word in words}

    def _matches(self, number: Number, names: frozenset[str]) -> list[int]:
        """How much of each match the sentence names."""
        apart = self._apart.of(number) if number.text.startswith(("+", "-", ".")) else ()
        found = (*self._pool.of(number, (1.0, 100.0, 1e3)), *self._cells.of(number), *apart)
        return [len(match.features & names) for match in found]

    def _is_told(self, number: Number, names: frozenset[str]) -> bool:
        """Whether it matches where of the ten numbers next to it at most one would match as well."""
        most = max(self._matches(number, names), default=-1)
        if most < 0:
            return False
        beside = (
            Number(text=number.text, value=number.value + 2 * step * number.half, half=number.half) for step in _STEPS
        )
        as_well = (each for each in beside if max(self._matches(each, names), default=-1) >= most)
        return len([*islice(as_well, 2)]) <= 1

    @staticmethod
    def _is_interval(sentence: str, three: Sequence[Number]) -> bool:
        one, low, high = (re.escape(each.text) for each in three)
        return bool(re.search(rf"{one}[^\[\d]{{0,3}}\[{low}, {high}\]", sentence))

    def _same_line(self, three: Sequence[Number]) -> bool:
        lines = [{match.line for match in self._pool.of(number, (1.0, 100.0))} - {-1} for number in three]
        return bool(set.intersection(*lines))


class _Near:
    """Some matches, by their values."""

    def __init__(self, matches: Iterable[Match]) -> None:
        self._matches = sorted(matches, key=lambda match: match.value)
        self._values = np.array([match.value for match in self._matches])

    def of(self, number: Number) -> Sequence[Match]:
        """Those that are written like this one."""
        half = number.half * 1.000001
        first, last = np.searchsorted(self._values, [number.value - half, number.value + half])
        return self._matches[int(first) : int(last)]


_STEPS = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
_COMMON = {"the", "and", "for", "with", "all", "one", "two", "that", "from", "over", "are", "has", "ndcg"}


def _cells(table: Table, kept: Mapping[Place, Match]) -> list[Match]:
    """Cells with the words of their labels."""
    return [
        Match(
            match.value,
            frozenset(f"word={word}" for word in plain(f"{table.labels[at[0]]} {table.header[at[1]]}").split()),
            -1,
        )
        for at, match in kept.items()
    ]


def _apart(table: Table, kept: Mapping[Place, Match]) -> Iterator[Match]:
    """Differences of two cells of a row, or of a column."""
    cells = dict(zip(kept, _cells(table, kept), strict=True))
    for one, a in cells.items():
        for other, b in cells.items():
            if one != other and one[2] == other[2] == 0 and (one[0] == other[0] or one[1] == other[1]):
                yield Match(a.value - b.value, a.features | b.features, -1)
