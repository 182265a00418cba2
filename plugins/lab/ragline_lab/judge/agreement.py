"""How often a judge is right where what is right is known: measured once, kept in a small file, told beside its figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rag.errors import SpecError
from rag.evaluate import mean_interval
from rag.files import write_atomically
from ragline_lab.judge.asking import Judge

Kind = Literal["nuggets", "preference"]
TIE, UNREADABLE = "tie", "unreadable"

UNMEASURED = "agreement not measured"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figures(_Frozen):
    """Agreement on one kind of verdict.

    `accuracy`: share that is right, the mean over questions, with its 95% interval.
    `kappa`: Cohen's over all cases; None where chance alone would agree. `ties`, `unreadable`: shares of the cases; neither is
    right.
    """

    questions: int
    cases: int
    accuracy: float
    low: float
    high: float
    kappa: float | None
    ties: float
    unreadable: float

    def told(self) -> str:
        """In words, to stand beside a figure."""
        kappa = "" if self.kappa is None else f", kappa {self.kappa:.2f}"
        shares = {"ties": self.ties, "unreadable": self.unreadable}
        more = "".join(f", {share:.0%} {what}" for what, share in shares.items() if share)
        interval = f"95% [{self.low:.2f}, {self.high:.2f}] of {self.questions:,} questions"
        return f"the judge is right in {self.accuracy:.2f} {interval}{kappa}{more}"


class Agreement(_Frozen):
    """What is known of a judge. `judge`: its identity. `kinds`: of all labelled sets together; `sets`: of each of them."""

    version: Literal[1] = 1
    name: str
    judge: dict[str, Any]
    kinds: dict[Kind, Figures]
    sets: dict[str, dict[Kind, Figures]]

    def require(self, judge: Judge) -> None:
        """Raise SpecError unless this was measured of the same judge, asked by the same prompts."""
        if self.judge != judge.identity:
            words = {"model": "another model", "prompts": "other prompts"}
            differing = [word for part, word in words.items() if self.judge.get(part) != judge.identity[part]]
            raise SpecError(
                f"the agreement file is of the judge '{self.name}', and '{judge.name}' is another one ("
                f"{' and '.join(differing)}): what is known of one says nothing of the other. Measure this one "
                "with rag lab judge --labels DATASET --agreement FILE"
            )

    def told(self, kind: Kind) -> str:
        """What is known of a kind of verdict, in words."""
        return self.kinds[kind].told() if kind in self.kinds else UNMEASURED

    def lines(self) -> list[str]:
        """The same as text: of each set, and of all together where there are several."""
        parts = {**self.sets, **({"all sets": self.kinds} if len(self.sets) > 1 else {})}
        rows = [
            f"  {name}, {kind}: {each.told()} ({each.cases:,} verdicts)"
            for name, kinds in parts.items()
            for kind, each in kinds.items()
        ]
        return [f"judge {self.name}", *rows]


def read_agreement(path: Path) -> Agreement:
    """What `write_agreement` wrote.

    Raises:
        SpecError: it is not there, or no such file.
    """
    try:
        return Agreement.model_validate_json(path.read_bytes())
    except OSError as cause:
        raise SpecError(
            f"agreement file '{path}' cannot be read ({cause.strerror}). rag lab judge --labels DATASET --agreement {path} "
            "measures a judge and writes it"
        ) from None
    except ValidationError:
        raise SpecError(f"'{path}' is no agreement file of rag lab judge; measure the judge again") from None


def write_agreement(agreement: Agreement, path: Path) -> None:
    write_atomically(path, json.dumps(agreement.model_dump(mode="json"), indent=1) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One verdict beside what is right. `qid`: of the question; cases of one question are not independent."""

    qid: str
    gold: str
    said: str = UNREADABLE


def figures(cases: Sequence[Case]) -> Figures:
    """Agreement over some cases, at least one."""
    by_question: dict[str, list[float]] = {}
    for case in cases:
        by_question.setdefault(case.qid, []).append(float(case.said == case.gold))
    shares = [fmean(values) for values in by_question.values()]
    interval = mean_interval(shares)
    return Figures(
        questions=len(shares),
        cases=len(cases),
        accuracy=fmean(shares),
        low=interval.low,
        high=interval.high,
        kappa=cohen_kappa([case.gold for case in cases], [case.said for case in cases]),
        ties=fmean(case.said == TIE for case in cases),
        unreadable=fmean(case.said == UNREADABLE for case in cases),
    )


def cohen_kappa(labels: Sequence[str], others: Sequence[str]) -> float | None:
    """Agreement beyond chance of two raters on the same things (Cohen, Educ. Psychol. Meas. 1960): 1 is perfect, 0 is chance.

    None where chance alone would agree on all: both always give one and the same label, or nothing is there.

    >>> cohen_kappa(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.5

    Raises:
        ValueError: the lengths differ.
    """
    if len(labels) != len(others):
        raise ValueError(f"two raters rate the same things: {len(labels)} and {len(others)} labels")
    n = len(labels)
    if not n:
        return None
    seen = sum(one == other for one, other in zip(labels, others, strict=True)) / n
    mine, theirs = Counter(labels), Counter(others)
    chance = sum(mine[label] * theirs[label] for label in mine) / n**2
    return None if chance == 1 else (seen - chance) / (1 - chance)
