"""The files that a sweep leaves in its folder."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import yaml

from rag.evaluate import write_per_query
from rag.files import write_atomically
from ragline_lab.markdown import inert, table
from ragline_lab.sweep.picture import draw_settings
from ragline_lab.sweep.report import SweepReport, lines_of, result_lines, rows_of
from ragline_lab.sweep.settings import Setting

_WIDTH = 120


def write_report(report: SweepReport, chosen: Setting, out: Path) -> None:
    """sweep.json, sweep.md, best.yaml, the values of the reporting queries, and a picture where matplotlib is installed."""
    write_atomically(out / "sweep.json", json.dumps(report.as_dict(), indent=1) + "\n")
    write_atomically(out / "sweep.md", markdown(report))
    write_atomically(out / "best.yaml", best_graph(report, chosen))
    write_per_query(report.result.before, out / "as_it_was.csv")
    write_per_query(report.result.after, out / "chosen.csv")
    if find_spec("matplotlib"):
        draw_settings(report, out / "pareto.svg")


def markdown(report: SweepReport) -> str:
    """The report as a page: all settings, and the result."""
    told, result = map(inert, lines_of(report)), map(inert, result_lines(report))
    return "\n".join(
        [
            f"# Sweep of {inert(report.graph)}",
            "",
            *(f"- {line}" for line in told),
            "",
            *table(rows_of(report, report.ranked())),
            "",
            *(f"- {line}" for line in result),
            "",
        ]
    )


def best_graph(report: SweepReport, chosen: Setting) -> str:
    """The chosen setting as a graph file, with what speaks for it in comments."""
    known, tuning = report.chosen, report.result.tuning
    evidence = [
        f"graph {report.graph}, setting: {report.result.label}",
        f"chosen by {report.measure} on {known.queries} tuning queries of {report.dataset} ({report.tune}): "
        f"{known.means[report.measure]:.4f}, 95% [{tuning.low:.4f}, {tuning.high:.4f}]",
        *result_lines(report),
    ]
    # A line of JSON has no line break in it, whatever a name says, and so cannot leave its comment.
    comments = "".join(f"# {json.dumps(line)[1:-1]}\n" for line in evidence)
    body = yaml.safe_dump(chosen.data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=_WIDTH)
    return comments + body
