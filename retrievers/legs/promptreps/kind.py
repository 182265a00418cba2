"""What the promptreps leg is to an index: settings, reading texts, building, opening, matching."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.memory import Need
from rag.core.types import Where
from retrievers.legs.promptreps.settings import PromptRepsSettings
from retrievers.legs.protocol import (
    MADE_BY,
    Built,
    Difference,
    Facts,
    Job,
    LegKind,
    LegMaker,
    Mask,
    Opening,
    Sections,
    model_differences,
)

if TYPE_CHECKING:
    from retrievers.legs.promptreps.encoder import PromptRepsEncoder, Representations
    from retrievers.legs.promptreps.search import Best, PromptRepsSearch
    from retrievers.stores.postings import Columns

    def _keeps_the_protocol(leg: LocalPromptReps) -> PromptRepsSearch:
        return leg


class PromptRepsKind(LegKind):
    """A chat model's vector and weighted words of every text."""

    name = "promptreps"
    section = "promptreps"
    settings = PromptRepsSettings

    def maker(self, settings: Sections) -> LegMaker:
        return PromptRepsMaker(cast(PromptRepsSettings, settings.section("promptreps")))

    def open(self, opening: Opening) -> LocalPromptReps:
        from retrievers.legs.promptreps.leg import open_leg, open_postings

        units = open_leg(opening.folder, opening.facts)
        return LocalPromptReps(units, open_postings(opening.folder, opening.facts, units), opening.facts, opening.mask)

    def differences(self, wanted: Sections, built: Sections, facts: Facts) -> Iterator[Difference]:
        return model_differences("promptreps", wanted, built, facts, model="model", dtype="dtype")

    def memory(self, facts: Facts, n_bytes: int) -> list[Need]:
        from retrievers.legs.promptreps.encoder import model_of

        return [Need(what="representations", n_bytes=n_bytes, mapped=True), *model_of(facts[MADE_BY]).memory()]

    def model_names(self, facts: Facts) -> list[tuple[str, str | None]]:
        made_by = facts.get(MADE_BY)
        return [(str(made_by["model"]), made_by.get("revision"))] if made_by else []

    def wanted_models(self, settings: Sections) -> list[tuple[str, str | None]]:
        wanted = cast(PromptRepsSettings, settings.section("promptreps"))
        return [(wanted.model, wanted.revision)]

    def health(self, leg: LocalPromptReps) -> list[str]:
        return [f"its model {leg.encoder.describe()['model']} is here, with the same weights and prompt"]


@dataclass(slots=True)
class PromptRepsMaker(LegMaker):
    """A promptreps leg to be."""

    settings: PromptRepsSettings
    _encoder: PromptRepsEncoder | None = None

    @property
    def encoder(self) -> PromptRepsEncoder:
        """The chat model under its prompt; weights load at the first text."""
        from retrievers.legs.promptreps.encoder import PromptRepsEncoder

        if self._encoder is None:
            self._encoder = PromptRepsEncoder.from_settings(self.settings)
        return self._encoder

    def describe(self) -> dict[str, Any]:
        return self.encoder.describe()

    def key(self) -> dict[str, Any]:
        return self.describe()

    def build(self, job: Job) -> Built:
        from retrievers.legs.promptreps.leg import write_leg
        from retrievers.legs.promptreps.represent import represent

        before = None if job.before is None else (job.before.texts, job.before.leg().units)
        rows, n_read = represent(job.texts, self.encoder, work=job.work, before=before, progress=job.progress)
        return Built(facts=write_leg(rows, job.folder, n=len(job.texts)), counts={"n_represented": n_read})


class LocalPromptReps:
    """The leg with its model and the filters of its index. Safe to share between threads.

    `units`: the representation of every row, memory-mapped.
    """

    def __init__(self, units: Representations, postings: Columns, facts: Facts, mask: Mask) -> None:
        self.units = units
        self._postings, self._facts, self._mask = postings, facts, mask
        self._lock = Lock()
        self._encoder: PromptRepsEncoder | None = None

    @property
    def encoder(self) -> PromptRepsEncoder:
        """What made the leg.

        Raises:
            IndexMismatch: model or prompt here are not those that it was built with.
        """
        from retrievers.legs.promptreps.encoder import PromptRepsEncoder

        with self._lock:
            if self._encoder is None:
                self._encoder = PromptRepsEncoder.from_description(self._facts[MADE_BY])
            return self._encoder

    def nearest(self, vector: NDArray[np.float32], *, k: int, where: Where | None = None) -> Best:
        """By inner product with the units' vectors."""
        from retrievers.stores.hits import tied

        scores, mask = (self.units.dense @ vector).astype(np.float64), self._mask(where)
        rows = tied(scores if mask is None else np.where(mask, scores, -np.inf), k)
        return rows, scores[rows]

    def sharing(
        self, tokens: NDArray[np.int32], weights: NDArray[np.int32], *, k: int, where: Where | None = None
    ) -> Best:
        """By the sum over shared tokens of the product of weights; who shares none is no hit."""
        from retrievers.stores.postings import best_sums

        query = dict(zip(tokens.tolist(), weights.tolist(), strict=True))
        return best_sums(self._postings, query, n_docs=len(self.units.dense), k=k, mask=self._mask(where))

    def warm_up(self) -> None:
        """Load the model."""
        self.encoder.encode(["warm"], role="query")

    def release(self) -> None:
        """Let go of the model's weights; the next query loads them again."""
        if self._encoder is not None:
            self._encoder.release()
