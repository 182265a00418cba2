"""What the promptreps leg is to an index: settings, reading texts, building, opening, matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.memory import Need
from rag.core.types import Where
from retrievers.legs.model_leg import ModelLeg, ModelLegKind
from retrievers.legs.promptreps.settings import PromptRepsSettings
from retrievers.legs.protocol import Built, Facts, Job, LegMaker, Mask, Opening, Sections

if TYPE_CHECKING:
    from retrievers.legs.promptreps.encoder import PromptRepsEncoder, Representations
    from retrievers.legs.promptreps.search import Best, PromptRepsSearch
    from retrievers.stores.chain_rows import ChainedArray, RowTable
    from retrievers.stores.computed import Compute
    from retrievers.stores.sums import ChainedSums, Sums

    def _keeps_the_protocol(leg: LocalPromptReps) -> PromptRepsSearch:
        return leg


_BLOCK = 4096
"""Vectors that are multiplied at a time, whether they lie in one part or in several."""


class PromptRepsKind(ModelLegKind):
    """A chat model's vector and weighted words of every text."""

    name = "promptreps"
    section = "promptreps"
    settings = PromptRepsSettings
    holds = "representations"
    graph = "hybrid-promptreps"

    def maker(self, settings: Sections) -> LegMaker:
        return PromptRepsMaker(cast(PromptRepsSettings, settings.section(self.section)))

    def open(self, opening: Opening) -> LocalPromptReps:
        from retrievers.stores.chain_rows import ChainedArray, ChainedTable
        from retrievers.stores.sums import ChainedSums

        units, sums = zip(*(_read(*part) for part in opening.parts), strict=True)
        if opening.rows is None:
            return LocalPromptReps(units[0].dense, units[0], sums[0], opening.facts, opening.mask)
        dense, rows = ChainedArray([each.dense for each in units], opening.rows), ChainedTable(units, opening.rows)
        return LocalPromptReps(dense, rows, ChainedSums(sums, opening.rows), opening.facts, opening.mask)

    def why_whole(self, facts: Facts) -> str:
        return "" if facts.get("postings") else "a promptreps leg of an older version has no postings of its own"

    def why_together(self, settings: Sections) -> str:
        return ""

    def block_encoder(self, made_by: Facts) -> Compute:
        from retrievers.legs.promptreps.encoder import encode_block

        return partial(encode_block, _remade(made_by))

    def model_memory(self, made_by: Facts) -> Sequence[Need]:
        from retrievers.legs.promptreps.encoder import model_of

        return model_of(made_by).memory()

    def health(self, leg: LocalPromptReps) -> list[str]:
        return [f"{said} and prompt" for said in super().health(leg)]


@dataclass
class PromptRepsMaker(LegMaker):
    """A promptreps leg to be."""

    settings: PromptRepsSettings

    @cached_property
    def encoder(self) -> PromptRepsEncoder:
        """The chat model under its prompt; weights load at the first text."""
        from retrievers.legs.promptreps.encoder import PromptRepsEncoder

        return PromptRepsEncoder.from_settings(self.settings)

    def describe(self) -> dict[str, Any]:
        return self.encoder.describe()

    def key(self) -> dict[str, Any]:
        return self.describe()

    def build(self, job: Job) -> Built:
        from retrievers.legs.promptreps.encoder import represent
        from retrievers.legs.promptreps.leg import write_leg
        from retrievers.legs.rows_of_texts import RowsBefore

        before = None if job.before is None else RowsBefore(texts=job.before.texts, row=job.before.leg().units.row)
        rows, n_read = represent(
            job.texts, self.encoder, work=job.work, before=before, apply=job.apply, progress=job.progress
        )
        return Built(facts=write_leg(rows, job.folder, n=len(job.texts)), counts={"n_represented": n_read})


def _read(folder: Path, facts: Facts) -> tuple[Representations, Sums]:
    from retrievers.legs.promptreps.leg import open_leg, open_postings
    from retrievers.stores.sums import Sums

    units = open_leg(folder, facts)
    return units, Sums(open_postings(folder, facts, units), n_docs=len(units.dense))


def _remade(made_by: Facts) -> PromptRepsEncoder:
    """The model that a leg's facts describe."""
    from retrievers.legs.promptreps.encoder import PromptRepsEncoder

    return PromptRepsEncoder.from_description(made_by)


class LocalPromptReps(ModelLeg["PromptRepsEncoder"]):
    """See `ModelLeg`.

    `units`: the representation of every row, memory-mapped. `dense`: their vectors.
    """

    def __init__(
        self,
        dense: NDArray[np.float32] | ChainedArray,
        units: RowTable,
        sums: Sums | ChainedSums,
        facts: Facts,
        mask: Mask,
    ) -> None:
        super().__init__(facts, mask, made_by=_remade)
        self.dense, self.units, self._sums = dense, units, sums

    def nearest(self, vector: NDArray[np.float32], *, k: int, where: Where | None = None) -> Best:
        """By inner product with the units' vectors."""
        from retrievers.stores.chain_rows import of_blocks
        from retrievers.stores.hits import tied

        # Row by row, for a product of matrices may give equal rows other bits, and then doc_id does not decide.
        scores = of_blocks(self.dense, _BLOCK, lambda vectors: np.vecdot(vectors, vector)).astype(np.float64)
        mask = self._mask(where)
        rows = tied(scores if mask is None else np.where(mask, scores, -np.inf), k)
        return rows, scores[rows]

    def sharing(
        self, tokens: NDArray[np.int32], weights: NDArray[np.int32], *, k: int, where: Where | None = None
    ) -> Best:
        """By the sum over shared tokens of the product of weights; who shares none is no hit."""
        query = dict(zip(tokens.tolist(), weights.tolist(), strict=True))
        return self._sums.best(query, k=k, mask=self._mask(where))

    def warm_up(self) -> None:
        """Load the model."""
        self.encoder.encode(["warm"], role="query")
