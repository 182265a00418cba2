"""`--over PATH=VALUES` -> the values that a parameter takes, and the grid of several."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, product
from typing import Any, NoReturn

from rag.errors import SpecError

MOST_SETTINGS = 1_000
"""A larger grid is refused: it would be a mistake more often than a plan."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")
_FORMS = "PATH=LOW:HIGH:STEP, PATH=A,B,C, or PATH=JSON, of which a list is several values"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A parameter, as it was typed, and the values that it takes, in order."""

    path: str
    values: tuple[Any, ...]


def parse_axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """What all `--over` say.

    Raises:
        SpecError: none is given, one cannot be read, two name one parameter, or the grid has more than MOST_SETTINGS.
    """
    if not texts:
        raise SpecError(f"a sweep needs a parameter to vary: --over {_FORMS}")
    axes = tuple(map(parse_axis, texts))
    for one, other in combinations(axes, 2):
        if one.path == other.path or f"{one.path}.".startswith(f"{other.path}."):
            raise SpecError(
                f"--over {one.path} and --over {other.path} change one parameter; give all its values in one"
            )
        if f"{other.path}.".startswith(f"{one.path}."):
            raise SpecError(f"--over {other.path} changes a part of --over {one.path}; leave out one of the two")
    size = math.prod(len(axis.values) for axis in axes)
    if size > MOST_SETTINGS:
        sides = " x ".join(f"{len(axis.values):,}" for axis in axes)
        raise SpecError(
            f"the grid has {size:,} settings ({sides}), and at most {MOST_SETTINGS:,} are swept at once. Give fewer values, "
            "or sweep one parameter after another"
        )
    return axes


def grid(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Path -> value, for every setting; the last parameter changes first."""
    paths = [axis.path for axis in axes]
    for values in product(*(axis.values for axis in axes)):
        yield dict(zip(paths, values, strict=True))


def parse_axis(text: str) -> Axis:
    """One `PATH=VALUES`.

    >>> parse_axis("fused.weights.bm25=0.1:0.4:0.1").values
    (0.1, 0.2, 0.3, 0.4)
    >>> parse_axis("fused.norm=z_score,max").values
    ('z_score', 'max')
    >>> parse_axis("ranked.heads=[[1, 2], null]").values
    ([1, 2], None)

    Raises:
        SpecError: it has no path or no value, a range that is none, JSON that is damaged, or a value twice.
    """
    path, equals, said = (piece.strip() for piece in text.partition("="))
    if not path or not equals or not said:
        raise SpecError(f"--over {text}: {_FORMS} is wanted")
    values = _values(said, f"--over {path}")
    if not values:
        raise SpecError(f"--over {path}: it has no value, so the grid is empty")
    for written, times in Counter(json.dumps(value, sort_keys=True) for value in values).items():
        if times > 1:
            raise SpecError(f"--over {path}: the value {written} is given {times} times")
    return Axis(path=path, values=tuple(values))


def _values(said: str, where: str) -> list[Any]:
    if said[0] in "[{":
        value = _json(said, where)
        return value if isinstance(value, list) else [value]
    ends = said.split(":")
    if len(ends) > 1 and _NUMBER.fullmatch(ends[0].strip()):
        return _range([end.strip() for end in ends], said, where)
    words = [word.strip() for word in said.split(",")]
    if not all(words):
        raise SpecError(f"{where}: a value between the commas of '{said}' is empty")
    return [_scalar(word) for word in words]


def _range(ends: Sequence[str], said: str, where: str) -> list[Any]:
    """Both ends are in it, where the steps meet them. Decimal, for 0.1 three times is not 0.3 in binary."""
    if len(ends) != 3 or not all(map(_NUMBER.fullmatch, ends)) or not all(math.isfinite(float(end)) for end in ends):
        raise SpecError(f"{where}: '{said}' is no range; low:high:step is wanted, three numbers")
    low, high, step = map(Decimal, ends)
    if step <= 0:
        raise SpecError(f"{where}: the step of '{said}' must be above 0")
    if high < low:
        raise SpecError(f"{where}: '{said}' ends before it begins, so the grid is empty")
    steps = (high - low) / step
    if steps >= MOST_SETTINGS:
        raise SpecError(f"{where}: '{said}' has more than {MOST_SETTINGS:,} values, the most of a grid")
    kind = int if all(map(_WHOLE.fullmatch, ends)) else float
    return [kind(low + place * step) for place in range(int(steps) + 1)]


def _scalar(word: str) -> Any:
    """A number, a truth value or null; anything else is text."""
    try:
        return json.loads(word, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return word


def _json(said: str, where: str) -> Any:
    try:
        return json.loads(said, parse_constant=_refuse)
    except (ValueError, RecursionError) as cause:
        raise SpecError(f"{where}: '{said[:80]}' is not JSON: {cause}") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
