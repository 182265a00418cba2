"""Which answers may be given so that the share of wrong ones among them is at most A, with confidence C. Pure functions.

Thresholds on a confidence are tested one after another, in an order that was fixed before any of the labels that test them
was seen: the strictest first, and the first that fails ends it. So no correction for their number is needed (Bauer,
Statistics in Medicine 1991; Angelopoulos et al., 2021, arXiv 2110.01052, "fixed sequence testing"). One test is exact: among n
answers above a fixed threshold the number of wrong ones is binomial, and Clopper and Pearson's bound (Biometrika 1934) is
the largest risk that does not contradict it.

What it promises: labelled questions like those that will be asked, drawn independently, give a threshold whose risk is over
A in at most 1 - C of all such draws. It says nothing of questions of another kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.core.binomial import upper_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One threshold: an answer is given if its confidence is at least that.

    `given`, `wrong`: among the labelled questions that test it. `fit_given`, `fit_wrong`: among the others, that the
    confidence was fit on; they only say where the tests begin.
    """

    threshold: float
    fit_given: int
    fit_wrong: int
    given: int
    wrong: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Thresholds from the strictest to the loosest, and of how many questions their counts are."""

    steps: tuple[Step, ...]
    n: int
    n_fit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A threshold that keeps the risk. `coverage`: share of questions that get an answer. `bound`: of the risk, at C."""

    threshold: float
    given: int
    wrong: int
    coverage: float
    bound: float

    @property
    def risk(self) -> float:
        """The share of wrong answers that was seen, of those given."""
        return self.wrong / self.given

    def as_dict(self) -> dict[str, float]:
        """The same as plain data, `risk` included."""
        return {
            "threshold": self.threshold,
            "given": self.given,
            "wrong": self.wrong,
            "coverage": self.coverage,
            "risk": self.risk,
            "bound": self.bound,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NotReached:
    """No threshold keeps the risk and answers enough. `least`: the smallest risk that could be kept; None if there is none."""

    why: str
    least: float | None


def choose(curve: Curve, *, risk: float, confidence: float, least_coverage: float = 0.0) -> Choice | NotReached:
    """The loosest threshold that the tests reach.

    They begin where the questions that the confidence was fit on promise the least bound, for very few answers prove
    nothing. A threshold that answers less than `least_coverage` is no result, for who refuses everything is never wrong.

    Raises:
        ValueError: risk or confidence is not between 0 and 1, or the coverage not from 0 to 1.
    """
    require_shares(risk=risk, confidence=confidence)
    if not 0 <= least_coverage <= 1:
        raise ValueError(f"the least coverage must be from 0 to 1, got {least_coverage}")
    reached: Choice | None = None
    for tested in _sequence(curve, confidence):
        if tested.bound > risk:
            break
        reached = tested
    if reached is not None and reached.coverage >= least_coverage:
        return reached
    why = (
        f"no threshold keeps the share of wrong answers at {risk:g} or less with confidence {confidence:g}"
        if reached is None
        else f"those that do answer {reached.coverage:.1%} of the questions, and at least {least_coverage:.1%} are wanted"
    )
    return NotReached(why=why, least=least_risk(curve, confidence=confidence, least_coverage=least_coverage))


def least_risk(curve: Curve, *, confidence: float, least_coverage: float = 0.0) -> float | None:
    """The smallest risk for which `choose` gives a threshold; None where no threshold answers enough."""
    worst = 0.0
    for tested in _sequence(curve, confidence):
        worst = max(worst, tested.bound)
        if tested.given and tested.coverage >= least_coverage:
            return worst if worst < 1 else None
    return None


def tested_steps(curve: Curve, *, confidence: float) -> list[Choice]:
    """Every threshold with its coverage and its own bound, the strictest first; those that gave nothing are left out."""
    return [_choice(step, curve.n, confidence) for step in curve.steps if step.given]


def require_shares(**shares: float) -> None:
    """Raise ValueError unless each lies between 0 and 1."""
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ValueError(f"{name} must be between 0 and 1, got {share}")


def _sequence(curve: Curve, confidence: float) -> list[Choice]:
    """The thresholds that are tested, in order."""
    scale = curve.n / max(1, curve.n_fit)
    promised = [_promised(step, scale, confidence) for step in curve.steps]
    start = min(range(len(promised)), key=promised.__getitem__, default=0)
    return [_choice(step, curve.n, confidence) for step in curve.steps[start:]]


def _promised(step: Step, scale: float, confidence: float) -> float:
    """The bound that is to be expected: as many answers, and as many wrong as in the fit part with one of either more."""
    wrong = (step.fit_wrong + 1) / (step.fit_given + 2)
    return upper_bound(scale * step.fit_given * wrong, scale * step.fit_given, confidence)


def _choice(step: Step, n: int, confidence: float) -> Choice:
    return Choice(
        threshold=step.threshold,
        given=step.given,
        wrong=step.wrong,
        coverage=step.given / n if n else 0.0,
        bound=upper_bound(step.wrong, step.given, confidence),
    )


def curve_of(
    confidences: Sequence[float],
    wrong: Sequence[bool],
    *,
    n: int,
    fit_confidences: Sequence[float],
    fit_wrong: Sequence[bool],
    n_fit: int,
    steps: int = 20,
) -> Curve:
    """The curve of answers that test, with thresholds taken from those that the confidence was fit on.

    Thresholds are those above which the first, second, ... of `steps` even shares of the fit answers lie, and 0. The
    labels of the answers that test play no part in them.

    Args:
        confidences, wrong: of the answers that test; a question that the model refused has none, and counts in `n` alone.
        fit_confidences, fit_wrong, n_fit: the same of the others. Confidences are those of models that did not see them.
    """
    ordered = sorted(fit_confidences, reverse=True)
    places = [round(len(ordered) * step / steps) for step in range(1, steps + 1)]
    thresholds = sorted({*(ordered[place - 1] for place in places if place), 0.0}, reverse=True)
    return Curve(
        steps=tuple(
            Step(
                threshold=threshold,
                fit_given=sum(c >= threshold for c in fit_confidences),
                fit_wrong=sum(w for c, w in zip(fit_confidences, fit_wrong, strict=True) if c >= threshold),
                given=sum(c >= threshold for c in confidences),
                wrong=sum(w for c, w in zip(confidences, wrong, strict=True) if c >= threshold),
            )
            for threshold in thresholds
        ),
        n=n,
        n_fit=n_fit,
    )
