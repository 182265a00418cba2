"""`rag lab sweep`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rag.commands import GRAPH_HELP, add_plugins, progress_bar, say, say_json
from rag.evaluate import load_beir
from rag.graphs import load_spec
from ragline_lab.sweep.report import SweepReport, lines_of, result_lines, rows_of
from ragline_lab.sweep.settings import AS_IT_WAS
from ragline_lab.sweep.sweep import sweep

_SHOWN = 20
"""Settings that a terminal shows; all are in sweep.md."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("graph", metavar="GRAPH", help=GRAPH_HELP)
    parser.add_argument("--dataset", required=True, metavar="DIR", help="BEIR-layout folder with judgements")
    over_help = "NODE.PARAMETER=LOW:HIGH:STEP, or =A,B,C, or =JSON; again: all combinations"
    parser.add_argument("--over", action="append", required=True, metavar="PATH=VALUES", help=over_help)
    parser.add_argument("--measures", help="in one string; settings are chosen by the first (default: as `rag eval`)")
    parser.add_argument("--split", default="test", help="whose queries are divided, or reported on (default: test)")
    tuning = parser.add_mutually_exclusive_group()
    tune_help = "of the queries, those that settings are chosen by, told by their ids (0.5)"
    tuning.add_argument("--tune", type=float, default=0.5, metavar="SHARE", help=tune_help)
    tuning.add_argument("--tune-split", metavar="S", help="choose settings by the queries of this split instead")
    halve_help = "begin on few queries, keep the better half at each doubling; can lose the best setting"
    parser.add_argument("--halve", action="store_true", help=halve_help)
    parser.add_argument("--within", metavar="FIELD", help="a query searches only documents that share its FIELD")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write, and to go on in")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(parser)


def run(given: Namespace) -> int:
    """Sweep, print the settings and the result, and write the folder."""
    with progress_bar() as progress:
        report = sweep(
            load_beir(given.dataset, within=given.within),
            load_spec(given.graph),
            given.over,
            out=Path(given.out),
            split=given.split,
            tune=given.tune,
            tune_split=given.tune_split,
            measures=None if given.measures is None else given.measures.split(),
            halve=given.halve,
            command=given.typed,
            progress=progress,
        )
    if given.json:
        say_json(report.as_dict())
    else:
        show(report)
        say(f"\nbest graph: {Path(given.out) / 'best.yaml'}")
    return 0


def show(report: SweepReport) -> None:
    say("\n".join(lines_of(report)))
    ranked = report.ranked()
    shown = ranked[:_SHOWN]
    shown += [each for each in ranked[_SHOWN:] if each.label in (AS_IT_WAS, report.result.label)]
    say()
    for line in _aligned(rows_of(report, shown)):
        say(f"  {line}")
    if len(shown) < len(ranked):
        say(f"  ... {len(ranked) - len(shown):,} more, in sweep.md")
    say()
    say("\n".join(result_lines(report)))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
