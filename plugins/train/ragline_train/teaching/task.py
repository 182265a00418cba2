"""What a run may be told, and what a recipe makes of lessons: a model, a loss, examples in columns, and how well it does by now."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from rag.writing import require_positive
from ragline_train.pseudo import Case
from ragline_train.teaching.lessons import Lessons

TeachBy = Literal["shares", "source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much is taught, and how.

    Args:
        model: what is taught, by a packaged name, a folder or a hub id; unset, as the recipe says.
        teacher_model: the model that a recipe fits to, where it fits to one.
        by: shares, all that the teacher says of the candidates; or source, the passage that a question was made of
            against hard negatives, of which those that the teacher likes as much are left out.
        steps: updates of the weights; unset, as many as fit into `minutes`, by the time of a step that is tried first.
            Runs of equal steps, seed and data are equal.
        minutes: of teaching; what makes the data comes before it.
        batch: questions of a step.
        ways: candidates of a question, its best by the teacher and others spread over the rest.
        learning_rate: at its highest, after a tenth of the steps; it falls to 0. Unset, as the recipe says.
        max_tokens: of a text while it is taught; the model keeps its own limit.
        tellings: how often the gain is told on the way; a checkpoint is written each time.
        patience: tellings without a new best, after which the run ends.
        threads: of torch. One thread gives equal weights after a kill, whatever else the machine does.
    """

    model: str | None = None
    teacher_model: str | None = None
    by: TeachBy = "shares"
    steps: int | None = None
    minutes: float = 40.0
    batch: int = 8
    ways: int = 5
    learning_rate: float | None = None
    max_tokens: int = 128
    tellings: int = 8
    patience: int = 4
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.by not in get_args(TeachBy):
            raise ValueError(f"train: by must be shares or source, got {self.by!r}")
        require_positive(
            "train", steps=self.steps, max_tokens=self.max_tokens, tellings=self.tellings, patience=self.patience
        )
        require_positive("train", threads=self.threads)
        if self.batch < 2:
            raise ValueError("train: batch must be at least 2: one question alone has nothing to be told from")
        if self.ways < 2:
            raise ValueError("train: ways must be at least 2: one candidate alone has nothing to be told from")
        if not self.minutes > 0:
            raise ValueError(f"train: minutes must be above 0, got {self.minutes:g}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"train: learning_rate must be above 0, got {self.learning_rate:g}")

    def identity(self) -> Mapping[str, Any]:
        """What decides the weights; how many minutes were asked for does not, once the steps are known."""
        return {name: value for name, value in asdict(self).items() if name not in ("minutes", "steps")}


Column = str | list[str] | list[float] | list[list[float]]
Example = Mapping[str, Column]
"""A row of the trainer's data: column -> texts, or labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """To be taught.

    `model`, `loss`, `trainer` and `arguments` are of one family of sentence-transformers. `examples` have the columns that the
    loss reads, `keys` what two of a batch may not share. `measure` gives nDCG@10 of each of some questions, by the weights of
    now. `save` writes the model as it is to be used. `start` is what it was made of, `named_by` the key of a graph that names
    it, and `facts` what else the card says.
    """

    model: Any
    loss: Any
    trainer: Any
    arguments: Any
    examples: Sequence[Example]
    keys: Sequence[str]
    measure: Callable[[Sequence[Case]], list[float]]
    save: Callable[[Path], None]
    start: str
    start_sha256: str
    named_by: str
    learning_rate: float
    prompts: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Recipe(Protocol):
    """Lessons -> a task. One is a file of `recipes`, and a line of its table."""

    def __call__(self, lessons: Lessons, settings: Settings) -> Task: ...


def in_batches(examples: Sequence[Example], keys: Sequence[str], *, n: int, batch: int, seed: int) -> list[Example]:
    """`n` batches one after the other, all laid out before the first step, so that a run that goes on does so where it was.

    Every example comes once before any comes again. No two of a batch have the same key: one's relevant passage would be the
    other's negative. Where there are fewer keys than places, they repeat all the same.
    """
    laid: list[Example] = []
    waiting: list[int] = []
    turn = 0
    while len(laid) < n * batch:
        taken: set[str] = set()
        later: list[int] = []
        while len(taken) < batch:
            if not waiting:
                waiting = list(range(len(examples)))
                random.Random(f"{seed} {turn}").shuffle(waiting)
                turn += 1
                if len(later) >= len(examples):
                    break
            place = waiting.pop(0)
            if keys[place] in taken:
                later.append(place)
                if len(later) > 4 * len(examples):
                    break
                continue
            taken.add(keys[place])
            laid.append(examples[place])
        while len(laid) % batch:
            laid.append(examples[later.pop(0) if later else len(laid) % len(examples)])
        waiting = later + waiting
    return laid


def ways(case: Case, n: int) -> list[int]:
    """Places of `n` candidates: the best half by grade, others spread evenly over the rest. All repeat where there are fewer."""
    order = sorted(range(len(case.grades)), key=lambda place: (-case.grades[place], place))
    best, rest = order[: (n + 1) // 2], order[(n + 1) // 2 :]
    spread = [rest[round(at)] for at in np.linspace(0, len(rest) - 1, n - len(best))] if rest else []
    chosen = list(dict.fromkeys([*best, *spread]))
    return [chosen[at % len(chosen)] for at in range(n)]


def texts_of(case: Case) -> list[str]:
    """Of the candidates, as legs index them."""
    return [each.index_text for each in case.candidates]


CUTOFF = 10


def ndcg(scores: Sequence[float] | NDArray[np.floating], grades: Sequence[float], *, cutoff: int = CUTOFF) -> float:
    """0 to 1; 1 where all grades are 0. Equal scores keep the order that they are given in.

    Worked: grades 0, 1 in the wrong order give (0 / log2 2 + 1 / log2 3) / (1 / log2 2) = .6309.

    >>> round(ndcg([2.0, 1.0], [0.0, 1.0]), 4)
    0.6309
    """
    gains = np.asarray(grades, dtype=np.float64)
    weights = 1 / np.log2(np.arange(2, min(cutoff, len(gains)) + 2))
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:cutoff]
    best = float(np.sort(gains)[::-1][:cutoff] @ weights)
    return float(gains[order] @ weights) / best if best else 1.0


LEAST = 1e-6
"""Of a share, so that it has a logarithm."""
_SPREAD_BY = 24
"""Questions that say how far scores spread."""


def share_rows(cases: Sequence[Case], n: int) -> list[Example]:
    """`query`, `document_1` to `document_n`, and `label`: the logarithms of their shares, of which a softmax gives the shares."""
    return [
        {
            "query": case.query,
            **{f"document_{at}": texts_of(case)[place] for at, place in enumerate(places, start=1)},
            "label": [log_share(case.grades[place]) for place in places],
        }
        for case in cases
        for places in [ways(case, n)]
    ]


def log_share(grade: float) -> float:
    """Of a grade from 0 to 1."""
    return math.log(max(LEAST, grade))


def document_columns(n: int) -> list[str]:
    return [f"document_{at}" for at in range(1, n + 1)]


def matching_temperature(cases: Sequence[Case], scores: Callable[[Case], NDArray[np.float64]]) -> float:
    """What a model's scores are divided by so that they spread over candidates as the logarithms of the teacher's shares do.

    A model whose scores spread more is first taught to make all of them smaller, and forgets what it knows over that.

    Args:
        scores: of a case's candidates, by the model as it begins.
    Returns:
        A number above 0; 1 where the model or the teacher finds all alike.
    """
    some = [cases[place] for place in np.linspace(0, len(cases) - 1, min(_SPREAD_BY, len(cases))).astype(int)]
    ours = fmean(float(np.std(scores(case))) for case in some)
    theirs = fmean(float(np.std([log_share(grade) for grade in case.grades])) for case in some)
    return ours / theirs if ours > 0 and theirs > 0 else 1.0
