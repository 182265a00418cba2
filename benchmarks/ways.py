"""Benchmarks of several ways to do one thing: which are asked for, and their cells in a table."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean

from rag.evaluate.significance import mean_interval, paired_randomisation


def parsed(parser: argparse.ArgumentParser, ways: Sequence[str], *, model: str, work: Path) -> argparse.Namespace:
    """The arguments, with those that such benchmarks share: ways, all where none is named, the model, the work file."""
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"{', '.join(ways)}; all of them when left out")
    parser.add_argument("--model", default=model)
    parser.add_argument("--work", type=Path, default=work)
    options = parser.parse_args()
    require_ways(parser, options.ways, ways)
    options.ways = options.ways or list(ways)
    return options


def require_ways(parser: argparse.ArgumentParser, asked: Collection[str], known: Collection[str]) -> None:
    """End the program with a message unless all that is asked for is known."""
    if unknown := set(asked) - set(known):
        parser.error(f"no way {', '.join(sorted(unknown))}; there are {', '.join(known)}")


def mean_cell(values: Sequence[float], *, digits: int = 2) -> str:
    """A mean with its 95% interval."""
    interval = mean_interval(values)
    return f"{fmean(values):.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def difference_cell(values: Sequence[float], others: Sequence[float], *, digits: int = 2) -> str:
    """The mean difference to others of the same questions, with its 95% interval; empty where there is none."""
    if not values:
        return ""
    test = paired_randomisation(values, others)
    return f"{test.difference:+.{digits}f} [{test.low:+.{digits}f}, {test.high:+.{digits}f}]"
