"""Settings as a picture: what a query costs across, quality up. Needs matplotlib: the extra [bench]."""

from __future__ import annotations

from pathlib import Path

from rag.errors import need
from rag.writing import printed_line
from ragline_lab.sweep.report import SweepReport
from ragline_lab.sweep.settings import AS_IT_WAS

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
