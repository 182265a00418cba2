"""Every number that lines of benchmarks/results hold, with what the line says it is of."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median
from typing import Any

from benchmarks.record import recorded
from rag.evaluate.significance import mean_interval

_SKIPPED = {"commit", "machine", "code", "digests", "per_query", "text", "texts", "qid", "answers"}
_PARAMETERS = ("share", "patience", "least", "relief", "weight")
"""Numbers with a point that a line is of, and that nothing came to."""
_NUMBERS = re.compile(r"[-+]?\d*\.?\d+(?:e-?\d+)?")
_SETUP = ("set", "method", "settings", "model")
_FEW = 320  # questions, whose interval is drawn in a few milliseconds
_SEVERAL = 2_000  # lines of a set, whose methods are compared in seconds
_UNBOUND = ("nats", "log_likelihood")  # measures that are no share of anything
_KINDS = 8  # of questions, by what lines say of each
_LONGEST = 90  # letters of a value that says what a line is of, and is no text of a model


@dataclass(frozen=True, slots=True)
class Leaf:
    """`features`: file, place in the line and what else the line says, such as "set=scifact"; "age=0" is of the newest.

    `line`: which it is; -1 where it is of several.
    """

    value: float
    features: frozenset[str]
    line: int = -1


@cache
def leaves(name: str) -> tuple[Leaf, ...]:
    """Those of one file: of each line, and of lines by question what they come to."""
    lines = recorded(name)
    asked = [line for line in lines if "qid" in line]
    alone = [line for line in lines if "qid" not in line]
    own = {f"file={name}"}
    single = [Leaf(value, frozenset(own | said), at) for at, said, value in _of_lines(alone)]
    several = (*_of_questions(asked), *_over_sets(alone))
    return (*single, *(Leaf(value, frozenset(own | said)) for value, said in several))


def _said(line: Mapping[str, Any]) -> set[str]:
    """What it is of."""
    return {
        f"{key}={value}"
        for key, value in line.items()
        if key not in _SKIPPED
        and (value is None or isinstance(value, bool | int | str) or key in _PARAMETERS)
        and len(str(value)) < _LONGEST
    }


def _named(line: Mapping[str, Any]) -> frozenset[str]:
    """What it is of, without its counts."""
    return frozenset(
        f"{key}={value}" for key, value in line.items() if isinstance(value, str | bool) and _is_name(key, value)
    )


def _is_name(key: str, value: Any) -> bool:
    return (
        key not in _SKIPPED
        and not (isinstance(value, str) and re.match(r"[-+.\d]", value))
        and len(str(value)) < _LONGEST
    )


def _of_lines(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, set[str], float]]:
    later = Counter[frozenset[str]]()
    for at, line in reversed(list(enumerate(lines))):
        said = _said(line) | {f"age={later[_named(line)]}", f"line={at}"}
        later[_named(line)] += 1
        for path, value, inner in _numbers({key: each for key, each in line.items() if key not in _SKIPPED}, ()):
            yield at, {*said, *inner, f"path={'/'.join(path)}", *(f"key={part}" for part in path)}, value


def _numbers(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], float, set[str]]]:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield path, float(value), set()
    elif isinstance(value, str) and len(value) < _LONGEST:
        found = _NUMBERS.findall(value)
        yield from (((*path, str(at)), float(each), set()) for at, each in enumerate(found))
    elif isinstance(value, Mapping):
        own = _said(value) if path else set()
        for key, each in value.items():
            if key not in _SKIPPED:
                yield from ((where, number, inner | own) for where, number, inner in _numbers(each, (*path, str(key))))
    elif isinstance(value, list) and len(value) < 60:
        for at, each in enumerate(value):
            yield from _numbers(each, (*path, str(at) if not isinstance(each, Mapping) else "each"))


def _over_sets(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, set[str]]]:
    """Means of what lines say that differ in their set alone."""
    groups: dict[tuple[frozenset[str], str], dict[str, float]] = defaultdict(dict)
    for line in lines:
        named = frozenset(_named({key: each for key, each in line.items() if key != "set"}))
        for path, value, _ in _numbers({key: each for key, each in line.items() if key not in _SKIPPED}, ()):
            groups[named, "/".join(path)][str(line.get("set"))] = value
    for (named, path), values in groups.items():
        if len(values) > 2:
            yield (
                fmean(values.values()),
                {*named, f"path={path}", *(f"key={part}" for part in path.split("/")), "of=sets"},
            )


def _of_questions(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, set[str]]]:
    """Means, sums and shares by set, method and settings, of questions that all methods have, and differences of methods."""
    kept = {json.dumps([line.get(key) for key in (*_SETUP, "qid")]): line for line in lines}
    last = list(map(_held_together, kept.values()))
    kinds = [several for kind in _kinds(last) for several in ((*_SETUP, kind), ("method", "settings", kind))]
    for by in (_SETUP, ("set", "method"), ("method", "settings"), ("method",), ("set",), *kinds):
        for said, several in _grouped(last, by):
            yield from ((value, said | inner) for value, inner in _stats(several))
    for _, some in _grouped(last, ("set",)):
        methods = {frozenset(said): several for said, several in _grouped(some, _SETUP)}
        shared = set.intersection(*({str(line["qid"]) for line in several} for several in methods.values()))
        for said, several in methods.items():
            common = [line for line in several if str(line["qid"]) in shared]
            if shared and len(common) < len(several):
                yield from ((value, {*said, "by=shared"} | inner) for value, inner in _stats(common))
        if len(some) <= _SEVERAL:
            yield from _differences(methods)


def _kinds(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Keys that say of what kind a question is: all lines of a question say the same, and those of another something else."""
    by_question: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by_question[str(line.get("set")), str(line["qid"])].append(line)
    names = {key for line in lines for key, value in line.items() if isinstance(value, str | bool)}
    for key in sorted(names - _SKIPPED - set(_SETUP)):
        said = [{str(line.get(key)) for line in several} for several in by_question.values()]
        kinds = set().union(*said)
        if (
            all(len(each) == 1 for each in said)
            and 1 < len(kinds - {"None"}) <= _KINDS
            and len(max(kinds, key=len)) < _LONGEST
        ):
            yield key


def _grouped(
    lines: Sequence[Mapping[str, Any]], by: Sequence[str]
) -> Iterator[tuple[set[str], list[Mapping[str, Any]]]]:
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        groups[tuple(line.get(key) for key in by)].append(line)
    for group, several in groups.items():
        said = {f"{key}={value}" for key, value in zip(by, group, strict=True) if value is not None}
        yield said | {f"by={'/'.join(by)}"}, several


def _held_together(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """With whether two texts of it are one, and the square of the distance of two shares."""
    texts = [key for key in ("told", "gold", "type", "label") if isinstance(line.get(key), str)]
    shares = [key for key in ("p", "true") if isinstance(line.get(key), int | float)]
    found: dict[str, Any] = {f"{a} is {b}": line[a] == line[b] for a in texts for b in texts if a < b}
    return {**line, **found} | ({"square": (line["p"] - line["true"]) ** 2} if len(shares) > 1 else {})


def _differences(
    methods: Mapping[frozenset[str], Sequence[Mapping[str, Any]]],
) -> Iterator[tuple[float, set[str]]]:
    """Of one method less another on the questions that both have, with the ends of the interval."""
    for one, first in methods.items():
        for other, second in methods.items():
            by_question = {line["qid"]: line for line in second}
            pairs = [(line, by_question[line["qid"]]) for line in first if line["qid"] in by_question]
            if one == other or not pairs or len(pairs) > _FEW:
                continue
            against = {f"less {each}" for each in other if each.startswith("method=")}
            for key in sorted(pairs[0][0].keys() & pairs[0][1].keys() - _SKIPPED - set(_SETUP)):
                values = [(a.get(key), b.get(key)) for a, b in pairs]
                if all(
                    isinstance(each, bool | int | float) and (key in _UNBOUND or abs(each) <= 1)
                    for pair in values
                    for each in pair
                ):
                    less = tuple(float(a) - float(b) for a, b in values)
                    low, high = _ends(less)
                    for name, value in (("mean", fmean(less)), ("low", low), ("high", high)):
                        yield value, {*one, *against, f"path={key}/{name}", f"key={key}", f"as={name}", "of=difference"}


@cache
def _ends(values: tuple[float, ...]) -> tuple[float, float]:
    if values < (0.0,):  # those of the other method less this one
        low, high = _ends(tuple(-value for value in values))
        return -high, -low
    found = mean_interval(values)
    return found.low, found.high


def _stats(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, set[str]]]:
    yield float(len(lines)), {"path=n", "key=n"}
    for key in sorted({key for line in lines for key in line} - _SKIPPED - set(_SETUP)):
        values = [line[key] for line in lines if line.get(key) is not None]
        if values and all(isinstance(each, bool | int | float) for each in values):
            several = {
                "mean": fmean(values),
                "sum": float(sum(values)),
                "median": float(median(values)),
                "n": float(len(values)),
            }
            if len(values) <= _FEW and max(map(abs, values)) <= 1:
                several["low"], several["high"] = _ends(tuple(map(float, values)))
            several |= {"any": float(sum(map(bool, values))), "share": sum(map(bool, values)) / len(values)}
            yield from ((each, {f"path={key}/{name}", f"key={key}", f"as={name}"}) for name, each in several.items())
        elif values and all(isinstance(each, str) for each in values) and len(set(values)) < 12:
            for value, n in Counter(values).items():
                yield float(n), {f"path={key}/{value}/n", f"key={key}", f"key={value}", "as=n"}
                shares = {"share": n / len(values)}
                if len(values) <= _FEW:
                    shares["low"], shares["high"] = _ends(tuple(float(each == value) for each in values))
                for name, share in shares.items():
                    yield share, {f"path={key}/{value}/{name}", f"key={key}", f"key={value}", f"as={name}"}
