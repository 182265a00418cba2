"""Benchmarks of several ways to do one thing: which are asked for, and their cells in a table."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.model_server import add_model
from benchmarks.work_lines import Line, timed
from rag.core.types import Usage
from rag.evaluate.significance import mean_interval, paired_randomisation


def parsed(parser: argparse.ArgumentParser, ways: Sequence[str], *, model: str, work: Path) -> argparse.Namespace:
    """The arguments, with those that such benchmarks share: ways, all where none is named, the model, the work file."""
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"{', '.join(ways)}; all of them when left out")
    add_model(parser, default=model)
    parser.add_argument("--work", type=Path, default=work)
    add_busy(parser)
    options = parser.parse_args()
    require_ways(parser, options.ways, ways)
    options.ways = options.ways or list(ways)
    return options


def add_busy(parser: argparse.ArgumentParser) -> None:
    """The switch for runs whose seconds are no figure."""
    parser.add_argument(
        "--busy", action="store_true", help="the machine has other work: the lines' seconds do not count"
    )


def require_ways(parser: argparse.ArgumentParser, asked: Collection[str], known: Collection[str]) -> None:
    """End the program with a message unless all that is asked for is known."""
    if unknown := set(asked) - set(known):
        parser.error(f"no way {', '.join(sorted(unknown))}; there are {', '.join(known)}")


def mean_cell(values: Sequence[float], *, digits: int = 2) -> str:
    """A mean with its 95% interval."""
    interval = mean_interval(values)
    return f"{fmean(values):.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def costs(usages: Sequence[Usage], seconds: float, n: int) -> dict[str, float]:
    """Calls, tokens and seconds of one of the n questions of a batch: the mean. `usages`: of the nodes that count."""
    calls, tokens = sum(each.calls for each in usages), sum(each.prompt_tokens + each.new_tokens for each in usages)
    return {"calls": calls / n, "tokens": tokens / n, "seconds": round(seconds / n, 3)}


def cost_cells(lines: Sequence[Line], *costs: str, digits: int = 1) -> str:
    """Means of costs. Seconds of a busy machine, or of another one, do not count; a dash where there are no others."""

    def cell(cost: str) -> str:
        values = timed(lines) if cost == "seconds" else [line[cost] for line in lines]
        return f"{fmean(values):.{digits}f}" if values else "-"

    return " | ".join(map(cell, costs))


def difference_cell(values: Sequence[float], others: Sequence[float], *, digits: int = 2) -> str:
    """The mean difference to others of the same questions, with its 95% interval; empty where there is none."""
    if not values:
        return ""
    test = paired_randomisation(values, others)
    return f"{test.difference:+.{digits}f} [{test.low:+.{digits}f}, {test.high:+.{digits}f}]"
