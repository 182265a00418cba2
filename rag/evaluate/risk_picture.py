"""Risk against coverage as a picture. Needs matplotlib: the extra [bench]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.core.optional import need
from rag.evaluate.risk import CONFIDENCE
from rag.stages.risk.bounds import Choice

_INK, _ACCENT = "#1d2b36", "#c8553d"


def draw_risk(steps: Sequence[Choice], path: Path) -> None:
    """Write an SVG: coverage across, the share of wrong answers up, and its bound above it.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    need("matplotlib", by="a picture of risk", extra="bench")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "risk", "font.size": 9}):
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        axes = figure.subplots()
        coverage = [100 * step.coverage for step in steps]
        axes.plot(coverage, [100 * step.bound for step in steps], color=_ACCENT, label=f"{CONFIDENCE:.0%} bound")
        axes.plot(coverage, [100 * step.risk for step in steps], color=_INK, marker="o", label="wrong")
        axes.set(xlabel="% of the questions answered", ylabel="% of these answers wrong", xlim=(0, 100), ylim=(0, 100))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
