"""Which questions are not worth asking a model, as a calibration has it. `rag calibrate` learns it from judged answers."""

from __future__ import annotations

from dataclasses import dataclass

from rag.stages.risk.logistic import Logistic, Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A question is let through if its chance of a right answer, before anything is written, is at least `threshold`.

    `node`: the assembler whose passages the chance is read from.
    """

    node: str
    model: Logistic
    threshold: float

    def __call__(self, signals: Signals) -> bool:
        """Whether a question with these signals is let through."""
        return self.model(signals) >= self.threshold
