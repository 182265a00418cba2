"""What a run may be told, the same for all recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from rag.writing import require_positive

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
