"""Questions that are stopped before a model writes, and answers that are not given, by a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rag.core.inputs import input_file
from rag.core.types import NO_USAGE, OK, Answer, Context, Outcome
from rag.stages.checks.checker import is_written
from rag.stages.risk.bounds import NotReached
from rag.stages.risk.calibration import Calibration, load_calibration
from rag.stages.risk.logistic import Signals
from rag.stages.risk.reading import SignalReader
from retrievers.index_protocol import Index

REFUSED = "refused_by_risk"
"""What an outcome counts an answer under that was written and not given."""
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


class RiskChecker:
    """Says how sure an answer is, and withholds one that is less sure than a stated risk allows.

    The share of wrong answers among those given is at most `risk`, with `confidence`, for questions like those of the
    calibration (Angelopoulos et al., 2021, arXiv 2110.01052; see `rag.stages.risk.bounds`). How sure an answer is, is learnt
    from signals of what was found and written (`rag.stages.risk.signals`). A refusal of the model stays one. An answer is
    judged whole, so a stream gives nothing out before it is written.

    Args:
        calibration: a file of `rag calibrate`, made for this graph without this node.
        index: whose legs are asked for the question again.
        risk: another one than the file's, above 0 and below 1.
        confidence: another one than the file's, above 0 and below 1.
        least_coverage: another one than the file's: a threshold that answers fewer of the calibration's questions is an error.
        refusal: what is said in the place of an answer that is not given.
    """

    of_answers: ClassVar[bool] = True

    def __init__(
        self,
        *,
        calibration: str,
        index: Index,
        risk: float | None = None,
        confidence: float | None = None,
        least_coverage: float | None = None,
        refusal: str = "I don't know.",
    ) -> None:
        if not refusal.strip():
            raise ValueError("check.risk: refusal must say something")
        path = input_file(calibration, what="calibration", by="check.risk")
        self.calibration: Calibration = load_calibration(path)
        answers = self.calibration.answers
        if answers is None:
            raise ValueError(
                f"check.risk: '{calibration}' is of a graph that gives no answers; run rag calibrate on this one"
            )
        choice = answers.choice(risk=risk, confidence=confidence, least_coverage=least_coverage)
        if isinstance(choice, NotReached):
            least = "" if choice.least is None else f"; the least risk that this file can keep is {choice.least:.3f}"
            raise ValueError(f"check.risk: '{calibration}': {choice.why}{least}")
        self.choice, self.refusal, self._sureness = choice, refusal, answers.model
        self._signals = SignalReader(index)

    @property
    def model_names(self) -> list[tuple[str, str | None]]:
        """The encoder of the index, which the graph itself may not use."""
        return self._signals.model_names

    def check(self, answers: Sequence[Answer]) -> list[Answer]:
        """The same answers, those that a model wrote with their confidence; those below the threshold as refusals.

        Outcome counts: `refused_by_risk`.
        """
        given = [answer for answer in answers if is_written(answer)]
        judged = iter(
            [self._judged(a, s) for a, s in zip(given, self._signals.read(given), strict=True)] if given else ()
        )
        return [next(judged) if is_written(answer) else answer for answer in answers]

    def _judged(self, answer: Answer, signals: Signals) -> Answer:
        confidence = self._sureness(signals)
        if confidence >= self.choice.threshold:
            return replace(answer, confidence=confidence)
        counts = {**answer.outcome.counts, REFUSED: 1}
        return replace(
            answer,
            text=self.refusal,
            citations=(),
            verdicts=(),
            confidence=confidence,
            status="no_answer",
            outcome=replace(answer.outcome, counts=counts),
        )
