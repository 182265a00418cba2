"""Figures of the documentation, read from the lines of `benchmarks/results`. None is typed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from math import sqrt
from statistics import NormalDist, fmean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.record import RESULTS, recorded
from rag.core.errors import SpecError
from rag.evaluate.significance import mean_interval

Line = Mapping[str, Any]
Value = str | int | float | bool | None
Item = tuple[str, str]
"""Set and qid of a question."""

_CLEAN = re.compile(r"[0-9a-f]{7,40}")
_TOLD = re.compile(r"[-+.\d]")
"""How texts begin that tell a result, such as "+.01 [-.01, +.03]", and do not say what was measured."""


class Figure(BaseModel):
    """One figure.

    Lines with a `qid` are a question each: the figure is the mean over them with its bootstrapped 95% interval, and n is
    their number. Of other lines the last that fits tells, by `n` and `interval`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str = Field(description="What it is a figure of, in words before it.")
    lines: str = Field(description="A file of benchmarks/results, without its ending.")
    where: dict[str, Value | tuple[Value, ...]] = Field(default={}, description="What the lines say; of a list any.")
    key: str = Field(description="Where it stands in a line; / goes into an object.")
    equals: Value = Field(default=None, description="The figure is the share of questions whose key has this value.")
    against: str = Field(default="", description="The key of the same line that the value is held against.")
    by: Literal["equal", "square"] = Field(
        default="equal",
        description="How: the share of questions where both are equal, or the mean square of their distance.",
    )
    less: dict[str, Value | tuple[Value, ...]] = Field(
        default={}, description="The figure is a difference, question by question, to lines that say this instead."
    )
    n: str = Field(default="", description="Where a line without a qid says how many questions it is over.")
    interval: tuple[str, ...] = Field(default=(), description="Where it says the ends of the 95% interval.")
    share: bool = Field(
        default=False, description="It is a share of n questions, and its line says no interval: Wilson's is told."
    )
    bare: str = Field(default="", description="Why it has no interval.")
    digits: int = 3
    percent: bool = Field(default=False, description="Told in hundredths.")
    model: str = Field(default="", description="The model of its lines, where it is not that of the row.")


class Told(BaseModel):
    """What a figure comes to. `items`: its questions; empty where a line does not list them. `clean`: by committed code."""

    model_config = ConfigDict(frozen=True)

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    items: frozenset[Item] = frozenset()
    clean: bool = True
    texts: tuple[str, ...] = ()


def told(figure: Figure, *, among: frozenset[Item] = frozenset()) -> Told:
    """Look it up.

    Args:
        among: only these questions count; none named: all.
    Raises:
        SpecError: no line fits, lines of several setups do, a line lacks the key or says no n, some question is missing.
    """
    return _told(figure.model_dump_json(), among)


@cache  # intervals are drawn ten thousand times, and a page is made over and over by its tests
def _told(said: str, among: frozenset[Item]) -> Told:
    figure = Figure.model_validate_json(said)
    lines = _lines_of(figure, figure.where)
    if "qid" not in lines[0]:
        return _of_one(figure, _only_setup(figure, lines)[-1])
    found = _questions(figure, figure.where, lines)
    if among and (lacking := among - found.keys()):
        raise SpecError(
            f"{_name(figure)}: {len(lacking)} of the {len(among)} questions of the figure beside have no line"
        )
    items = sorted(among or found.keys())
    values = {item: _value(figure, found[item]) for item in items}
    used = [found[item] for item in items]
    if figure.less:
        where = {**figure.where, **figure.less}
        base = _questions(figure, where, _lines_of(figure, where))
        if lacking := values.keys() - base.keys():
            raise SpecError(f"{_name(figure)}: {len(lacking)} questions have no line with {dict(figure.less)}")
        values = {item: value - _value(figure, base[item]) for item, value in values.items()}
        used += [base[item] for item in items]
    interval = mean_interval(list(values.values()))
    return Told(
        value=fmean(values.values()),
        n=len(values),
        low=interval.low,
        high=interval.high,
        items=frozenset(values),
        clean=all(map(is_clean, used)),
        texts=tuple({str(line.get(key, "")) for line in used for key in ("model", "settings", "encoder", "reranker")}),
    )


def shown(figure: Figure, found: Told) -> str:
    """In words: "answers right .41 [.31, .51]"."""
    ends = (
        ""
        if found.low is None or found.high is None
        else f" [{number(figure, found.low)}, {number(figure, found.high)}]"
    )
    return f"{figure.says} {number(figure, found.value)}{ends}"


def number(figure: Figure, value: float) -> str:
    """As pages write it: .41, a difference +.41, in hundredths 41%."""
    sign = "+" if figure.less else ""
    if figure.percent:
        return f"{100 * value:{sign}.{figure.digits}f}%"
    return re.sub(r"^([-+]?)0\.", r"\1.", f"{value:{sign}.{figure.digits}f}")


def is_clean(line: Line) -> bool:
    """Whether it says a commit, and no code was changed beside it."""
    return bool(_CLEAN.fullmatch(str(line.get("commit", ""))))


def unclean() -> dict[str, tuple[int, int, int]]:
    """File -> lines, those without a commit, those of changed code; of files that have any of the latter two."""
    counts = {}
    for file in sorted(RESULTS.glob("*.jsonl")):
        commits = [str(line.get("commit", "")) for line in lines_of(file.stem)]
        without = sum(not each or each == "unknown" for each in commits)
        changed = sum(each.endswith("+") for each in commits)
        if without or changed:
            counts[file.stem] = (len(commits), without, changed)
    return counts


@cache
def lines_of(name: str) -> list[dict[str, Any]]:
    """The lines of a file, read once."""
    return recorded(name)


def _lines_of(figure: Figure, where: Mapping[str, Any]) -> list[dict[str, Any]]:
    wanted = {key: value if isinstance(value, tuple) else (value,) for key, value in where.items()}
    lines = [line for line in lines_of(figure.lines) if all(at(line, key) in values for key, values in wanted.items())]
    if not lines:
        raise SpecError(f"benchmarks/results/{figure.lines}.jsonl has no line with {dict(where)}")
    return clean_ones(lines)


def clean_ones(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of committed code; all, where there are none."""
    return [line for line in lines if is_clean(line)] or lines


def _questions(figure: Figure, where: Mapping[str, Any], lines: Sequence[Line]) -> dict[Item, Line]:
    """The last line of each question. Lines of several setups are no one figure."""
    setups: dict[str, set[str]] = {}
    for line in lines:
        setups.setdefault(str(line.get("set", "")), set()).add(json.dumps([line.get("settings"), line.get("digests")]))
    for name, several in setups.items():
        if len(several) > 1:
            raise SpecError(
                f"{_name(figure)}: lines with {dict(where)} on '{name}' are of {len(several)} settings; name one"
            )
    return {(str(line.get("set", "")), str(line["qid"])): line for line in lines}


def _only_setup(figure: Figure, lines: Sequence[Line]) -> Sequence[Line]:
    """The lines, if they say the same of what was measured."""
    for key in {key for line in lines for key in line}:
        values = {line.get(key) for line in lines if isinstance(line.get(key), str | bool | None)}
        values = {value for value in values if not (isinstance(value, str) and _TOLD.match(value))}
        if len(values) > 1 and key not in ("commit", "code"):
            raise SpecError(
                f"{_name(figure)}: lines with {dict(figure.where)} differ in '{key}'; name it: {sorted(map(str, values))}"
            )
    return lines


def _of_one(figure: Figure, line: Line) -> Told:
    if not figure.n:
        raise SpecError(f"{_name(figure)}: its line has no qid, so `n` must say where it tells the number of questions")
    ends = [_number(figure, at(line, key), key) for key in figure.interval]
    value, n = _value(figure, line), int(_number(figure, at(line, figure.n), figure.n))
    ends = ends or ([*_wilson(value, n)] if figure.share else [])
    return Told(
        value=value,
        n=n,
        low=ends[0] if ends else None,
        high=ends[-1] if ends else None,
        clean=is_clean(line),
        texts=(json.dumps(line),),
    )


def _wilson(share: float, n: int) -> tuple[float, float]:
    """The ends of the 95% interval of a share of n questions (Wilson, 1927)."""
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half


def _value(figure: Figure, line: Line) -> float:
    found = at(line, figure.key)
    if figure.equals is not None:
        return float(found == figure.equals)
    if not figure.against:
        return _number(figure, found, figure.key)
    other = at(line, figure.against)
    if figure.by == "equal":
        return float(found == other)
    return float((_number(figure, found, figure.key) - _number(figure, other, figure.against)) ** 2)


def _number(figure: Figure, value: Any, key: str) -> float:
    if not isinstance(value, bool | int | float):
        raise SpecError(f"{_name(figure)}: a line says {value!r} at '{key}', which is no number")
    return float(value)


def at(line: Line, key: str) -> Any:
    """What stands there; None where nothing does. A number in a key is a place in a list."""
    value: Any = line
    for part in key.split("/"):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _name(figure: Figure) -> str:
    return f"'{figure.says}' of benchmarks/results/{figure.lines}.jsonl"
