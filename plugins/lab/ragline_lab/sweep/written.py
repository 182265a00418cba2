"""The files that a sweep leaves in its folder."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import yaml

from rag.errors import need
from rag.evaluate import write_per_query
from rag.files import write_atomically
from rag.writing import printed_line
from ragline_lab.pages.document import inert, markdown_table
from ragline_lab.sweep.report import SweepReport, lines_of, result_lines, rows_of
from ragline_lab.sweep.settings import AS_IT_WAS, Setting

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
            *markdown_table(rows_of(report, report.ranked())),
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


_INK, _ACCENT, _PALE = "#1d2b36", "#c8553d", "#9aa5ad"


def draw_settings(report: SweepReport, path: Path) -> None:
    """Write an SVG of the settings that were run on all tuning queries: seconds, and tokens where models wrote or read any.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    need("matplotlib", by="a picture of a sweep", extra="bench")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    whole = [each for each in report.settings if each.is_whole]
    best = [each for each in report.front() if each.label != report.result.label]
    marked = [(report.chosen, _ACCENT, "*", "chosen")]
    marked += [(each, _INK, "s", AS_IT_WAS) for each in whole if each.label == AS_IT_WAS]
    costs = ["seconds", *(["tokens"] if any(each.tokens for each in whole) else [])]
    with mpl.rc_context({"svg.hashsalt": "sweep", "font.size": 9}):
        figure = Figure(figsize=(5.2 * len(costs), 3.4), layout="constrained")
        for axes, cost in zip(figure.subplots(1, len(costs), squeeze=False)[0], costs, strict=True):
            for some, colour, marker, label in [
                (whole, _PALE, "o", "settings"),
                (best, _INK, "o", "no other is better"),
                *(([each], colour, marker, label) for each, colour, marker, label in marked),
            ]:
                if not some:
                    continue
                across = [each.seconds if cost == "seconds" else each.tokens for each in some]
                up = [each.means.get(report.measure, 0.0) for each in some]
                axes.plot(across, up, marker, color=colour, label=label, linestyle="none")
            measure = printed_line(report.measure).replace("$", "")
            axes.set(xlabel=f"{cost} a query", ylabel=f"{measure}, tuning queries")
            axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
