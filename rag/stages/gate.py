"""Questions that are not worth asking a model are stopped before it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rag.core.inputs import input_file
from rag.core.types import NO_USAGE, OK, Context, Outcome
from rag.stages.risk.calibration import Calibration, load_calibration
from rag.stages.risk.reading import SignalReader
from retrievers.index.protocol import Index

STOPPED = "stopped_by_gate"
"""What an outcome counts a context under whose passages were taken away."""


class GateAssembler:
    """The same passages, or none where they hardly ever led to a right answer: then a generator declines without its model.

    The chance is read from what the legs of the index and the passages say of the question (`rag.stages.risk.signals`), which
    takes milliseconds. A gate of a calibration stops questions and promises nothing: the stated risk is `check.risk`'s, and
    was tried with the gate in its place.

    Args:
        calibration: a file of `rag calibrate` with a gate, made for this graph without this node.
        index: whose legs are asked for the question again.
    """

    of_answers: ClassVar[bool] = True

    def __init__(self, *, calibration: str, index: Index) -> None:
        path = input_file(calibration, what="calibration", by="assemble.gate")
        self.calibration: Calibration = load_calibration(path)
        answers = self.calibration.answers
        if answers is None or answers.gate is None:
            raise ValueError(f"assemble.gate: '{calibration}' has no gate: leave the node out")
        self._gate, self._signals = answers.gate, SignalReader(index)

    @property
    def model_names(self) -> list[tuple[str, str | None]]:
        """The encoder of the index, which the graph itself may not use."""
        return self._signals.model_names

    def assemble(self, contexts: Sequence[Context]) -> list[Context]:
        """One context per context, in order. Outcome counts: `stopped_by_gate`."""
        asked = [context for context in contexts if context.passages]
        let = {c.qid: self._gate(s) for c, s in zip(asked, self._signals.before(asked) if asked else (), strict=True)}
        return [
            replace(context, outcome=OK, usage=NO_USAGE)
            if let.get(context.qid, True)
            else Context(query=context.query, outcome=Outcome(counts={STOPPED: 1}))
            for context in contexts
        ]
