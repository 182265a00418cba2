"""Risk against coverage of answers that say how sure they are, and its picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rag.core.optional import need
from rag.core.types import Answer
from rag.evaluate.beir import Item
from rag.evaluate.right import RIGHT
from rag.stages.risk.bounds import Choice, curve_of, tested_steps

CONFIDENCE = 0.95
"""Of the bounds of a curve."""
_INK, _ACCENT = "#1d2b36", "#c8553d"


def risk_curve(
    answers: Iterable[Answer], items: Sequence[Item], *, right: str = "auto", language: str = "en"
) -> tuple[Choice, ...]:
    """At ten even shares of the answers given, the surest first: how many are wrong, and the bound of their risk.

    Each bound is for its own threshold alone. These questions choose none: a threshold that is chosen by looking here is
    no longer bounded. Empty where no answer says how sure it is.

    Args:
        items: all questions that were asked; coverage is a share of them.
        right: what makes an answer right, a name of `RIGHT`.
    """
    known = {item.qid: item for item in items}
    given = [a for a in answers if a.status == "answered" and a.confidence is not None and a.qid in known]
    confidences = [answer.confidence or 0.0 for answer in given]
    wrong = [not RIGHT[right](answer, known[answer.qid], language) for answer in given]
    n = len(items)
    curve = curve_of(confidences, wrong, n=n, fit_confidences=confidences, fit_wrong=wrong, n_fit=n, steps=10)
    steps = tested_steps(curve, confidence=CONFIDENCE)
    return tuple(step for place, step in enumerate(steps) if not place or step.given > steps[place - 1].given)


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
