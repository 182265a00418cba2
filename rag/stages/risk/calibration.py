"""The file of a calibration: on what a graph was tried, how sure its answers are, and which of them may be given."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rag.core.errors import SpecError
from rag.core.files import write_atomically
from rag.stages.risk.bounds import Choice, Curve, NotReached, choose, tested_steps
from rag.stages.risk.gate import Gate
from rag.stages.risk.logistic import Logistic
from rag.stages.risk.relevance import Scale

_LARGEST = 16 * 2**20


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MadeFor(_Frozen):
    """What a calibration is good for: digests by name, of the graph's nodes and models and of the index's legs."""

    graph: str = Field(description="What the graph was called.")
    nodes: dict[str, str] = Field(description="Node or model -> digest of how it is wired and of what it is.")
    legs: dict[str, str] = Field(description="Leg of the index -> digest of its settings. Its documents do not count.")
    index: str = Field(description="Identity of the index, documents included.")
    min_relevance: float = Field(default=0.0, ge=0, le=1, description="What hits had to be worth while it was tried.")


class Target(_Frozen):
    """What was asked for: wrong answers are at most the share `risk` of those given, with `confidence`."""

    risk: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    least_coverage: float = Field(ge=0, le=1)


class Answers(_Frozen):
    """How sure answers are, and which of them may be given.

    `kind`: `bound` where people say what is right; `estimated` where nobody did, and corpora asked themselves.
    """

    kind: Literal["bound", "estimated"]
    questions: str = Field(description="Where the questions came from, in words.")
    target: Target
    model: Logistic
    curve: Curve
    gate: Gate | None = Field(
        default=None, description="Stops questions before anything is written; the curve is behind it."
    )
    stopped: int = Field(default=0, ge=0, description="Of the curve's n questions, those that the gate stopped.")
    stopped_right: int = Field(default=0, ge=0, description="Of these, those whose answer would have been right.")

    @model_validator(mode="after")
    def _whole(self) -> Answers:
        steps = self.curve.steps
        if any(one.threshold <= other.threshold for one, other in pairwise(steps)):
            raise ValueError("curve: thresholds do not fall from step to step")
        if any(not 0 <= s.wrong <= s.given <= self.curve.n or not 0 <= s.fit_wrong <= s.fit_given for s in steps):
            raise ValueError("curve: a step counts more than there are")
        return self

    def choice(
        self, *, risk: float | None = None, confidence: float | None = None, least_coverage: float | None = None
    ) -> Choice | NotReached:
        """The threshold for the file's own target, or for another one. See `rag.stages.risk.bounds.choose`."""
        return choose(
            self.curve,
            risk=self.target.risk if risk is None else risk,
            confidence=self.target.confidence if confidence is None else confidence,
            least_coverage=self.target.least_coverage if least_coverage is None else least_coverage,
        )

    def steps(self) -> list[Choice]:
        """Every threshold with its coverage and its own bound, the strictest first."""
        return tested_steps(self.curve, confidence=self.target.confidence)


class Hits(_Frozen):
    """What the scores of a ranking node are worth."""

    node: str = Field(description="The node whose scores these are.")
    questions: str = Field(description="Where the questions came from, and who said what is relevant, in words.")
    scale: Scale


class Calibration(_Frozen):
    """A file of `rag calibrate`: of a graph's hits, and of its answers where it gives some."""

    version: Literal[1] = 1
    made_for: MadeFor
    hits: Hits | None = None
    answers: Answers | None = None

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_atomically(path, self.model_dump_json(indent=1) + "\n")


@runtime_checkable
class ReadsCalibration(Protocol):
    """A part of a graph that does what a calibration says. A graph with it and one without are the same to the file.

    `of_answers`: whether it decides which answers are given.
    """

    of_answers: ClassVar[bool]
    calibration: Calibration


def load_calibration(path: Path) -> Calibration:
    """Read a file of `rag calibrate`.

    Raises:
        SpecError: it cannot be read, or is no such file.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise SpecError(f"'{path}' is over {_LARGEST:,} bytes; a calibration is far smaller")
        return Calibration.model_validate_json(path.read_bytes())
    except OSError as cause:
        raise SpecError(f"cannot read the calibration '{path}': {cause.strerror}") from cause
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SpecError(
            f"'{path}' is no calibration, as rag calibrate writes them: {place + ': ' if place else ''}{first['msg']}"
        ) from None


def differences(then: Mapping[str, str], now: Mapping[str, str], *, what: str) -> list[str]:
    """What differs between two tables of digests, in words: `node 'answer' is another`."""
    return [
        f"{what} '{name}' {'is another' if name in then and name in now else 'is new' if name in now else 'is gone'}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
