"""A calibration for tests: confidence rises with the share of the question that the passages hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rag.stages.risk.bounds import Curve, Step
from rag.stages.risk.calibration import Answers, Calibration, Hits, MadeFor, Target
from rag.stages.risk.gate import Gate
from rag.stages.risk.logistic import Logistic
from rag.stages.risk.relevance import Scale

HELD = Logistic(names=("question.held",), means=(0.5,), spreads=(0.25,), weights=(2.0,), intercept=0.0)
GATE = Gate(node="context", model=HELD, threshold=0.5)
"""Stops questions of whose content words the passages hold less than half."""
NOWHERE = MadeFor(graph="test", nodes={}, legs={}, index="")


def calibration(*, made_for: MadeFor = NOWHERE, node: str = "first", **of_answers: Any) -> Calibration:
    """100 questions were tried: 60 answers from confidence 0.5 on with none wrong, 90 from 0 on with 30 wrong."""
    steps = (
        Step(threshold=0.5, fit_given=60, fit_wrong=0, given=60, wrong=0),
        Step(threshold=0.0, fit_given=90, fit_wrong=30, given=90, wrong=30),
    )
    answers = {
        "kind": "bound",
        "questions": "made up",
        "target": Target(risk=0.1, confidence=0.95, least_coverage=0.1),
        "model": HELD,
        "curve": Curve(steps=steps, n=100, n_fit=100),
        **of_answers,
    }
    hits = Hits(node=node, questions="made up", scale=Scale(scores=(2.0, 10.0), relevance=(0.1, 0.9)))
    return Calibration(made_for=made_for, hits=hits, answers=Answers(**answers))


def saved(path: Path, **more: Any) -> Path:
    """The same in a file."""
    calibration(**more).save(path)
    return path
