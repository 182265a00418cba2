"""What the sparse leg is to an index: settings, weighing texts, building, opening, matching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.filters import readers_of
from rag.core.memory import Need
from rag.core.types import Population, Where
from retrievers.legs.model_leg import ModelLegKind
from retrievers.legs.protocol import (
    Before,
    Built,
    Facts,
    Job,
    LegMaker,
    LegVectors,
    Mask,
    Opening,
    Sections,
    Sparse,
    VectorsElsewhere,
)
from retrievers.legs.sparse.settings import SparseSettings
from retrievers.legs.sparse.weighed_terms import WeighedTerms, remade
from retrievers.stores.population import population_of

if TYPE_CHECKING:
    from retrievers.legs.rows_of_texts import RowsBefore
    from retrievers.legs.sparse.elsewhere import SparseElsewhere
    from retrievers.legs.sparse.encoder import SparseEncoder
    from retrievers.legs.sparse.search import SparseSearch
    from retrievers.stores.chain_rows import RowTable
    from retrievers.stores.computed import Columns, Compute, Row
    from retrievers.stores.sparse_rows import SparseRows
    from retrievers.stores.sums import ChainedSums, Sums

    def _keeps_the_protocol(leg: LocalSparse) -> SparseSearch:
        return leg


BLOCK = 256
"""Texts: what a killed build loses at most."""


class SparseKind(ModelLegKind):
    """Weighted terms of every text, by a masked language model."""

    name = "sparse"
    section = "sparse"
    settings = SparseSettings
    holds = "weighted terms"

    def maker(self, settings: Sections) -> LegMaker:
        return SparseMaker(cast(SparseSettings, settings.section(self.section)))

    def open(self, opening: Opening) -> LocalSparse:
        from retrievers.stores.chain_rows import ChainedTable
        from retrievers.stores.sums import ChainedSums

        rows, sums = zip(*(_read(*part) for part in opening.parts), strict=True)
        if opening.rows is None:
            return LocalSparse(rows[0], sums[0], opening.facts, opening.mask)
        rows_of_all, sums_of_all = ChainedTable(rows, opening.rows), ChainedSums(sums, opening.rows)
        return LocalSparse(rows_of_all, sums_of_all, opening.facts, opening.mask)

    def why_whole(self, facts: Facts) -> str:
        return ""

    def why_together(self, settings: Sections) -> str:
        return ""

    def why_no_vectors(self, settings: Sections) -> str:
        return ""

    def as_vectors(self, leg: LocalSparse) -> LegVectors:
        def between(first: int, last: int) -> list[Sparse]:
            rows = (leg.row(row) for row in range(first, last))
            return [Sparse(row["tokens"], row["weights"]) for row in rows]

        return LegVectors(between=between)

    def open_elsewhere(self, vectors: VectorsElsewhere, facts: Facts) -> SparseElsewhere:
        from retrievers.legs.sparse.elsewhere import SparseElsewhere

        return SparseElsewhere(vectors, facts)

    def block_encoder(self, made_by: Facts) -> Compute:
        return partial(_encode_block, remade(made_by))

    def model_memory(self, made_by: Facts) -> Sequence[Need]:
        from retrievers.legs.sparse.encoder import SparseEncoder

        return SparseEncoder(SparseSettings(**{name: made_by[name] for name in SparseSettings.model_fields})).memory()


@dataclass
class SparseMaker(LegMaker):
    """A sparse leg to be."""

    settings: SparseSettings

    @cached_property
    def encoder(self) -> SparseEncoder:
        """The model; weights load at the first text."""
        from retrievers.legs.sparse.encoder import SparseEncoder

        return SparseEncoder(self.settings)

    def describe(self) -> dict[str, Any]:
        return self.encoder.describe()

    def key(self) -> dict[str, Any]:
        return self.describe()

    def build(self, job: Job) -> Built:
        from retrievers.legs.rows_of_texts import rows_of_texts
        from retrievers.stores.sparse_rows import SparseWriter

        rows, n_read = rows_of_texts(
            job.texts,
            partial(_encode_block, self.encoder),
            made_by=self.describe(),
            block=BLOCK,
            apply=job.apply,
            work=job.work,
            before=_rows_before(job.before),
            step="weigh",
            progress=job.progress,
        )
        with SparseWriter(job.folder, np.float32) as writer:
            left = iter(rows)
            while some := list(islice(left, BLOCK)):
                writer.add(some)
        facts = {"rows": len(job.texts), "n_weights": writer.n_values}
        return Built(facts=facts, counts={"n_weighed": n_read})


def _encode_block(encoder: SparseEncoder, texts: list[str]) -> Columns:
    from retrievers.stores.computed import Ragged

    made = encoder.encode(texts, by=encoder.settings.documents)
    return {"tokens": Ragged(made.tokens, made.starts), "weights": Ragged(made.weights, made.starts)}


def _read(folder: Path, facts: Facts) -> tuple[SparseRows, Sums]:
    from retrievers.stores.sparse_rows import SparseRows
    from retrievers.stores.sums import Sums

    n, size = (int(facts.get(name) or 0) for name in ("rows", "n_weights"))
    rows = SparseRows.read(folder, n=n, n_weights=size, kind=np.float32)
    return rows, Sums(rows.postings(folder), n_docs=n)


def _rows_before(before: Before | None) -> RowsBefore | None:
    from retrievers.legs.rows_of_texts import RowsBefore

    return None if before is None else RowsBefore(texts=before.texts, row=before.leg().row)


class LocalSparse(WeighedTerms):
    """Searches the weighted terms of every text, memory-mapped."""

    def __init__(self, rows: RowTable, sums: Sums | ChainedSums, facts: Facts, mask: Mask) -> None:
        super().__init__(facts, mask)
        self.rows, self._sums = rows, sums

    def row(self, place: int) -> Row:
        return self.rows.row(place)

    def search(
        self, query: Mapping[int, float], *, k: int, where: Where | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """By the sum over shared terms of the product of weights; who shares none is no hit."""
        return self._sums.best(query, k=k, mask=self._mask(where))

    def scores(self, query: Mapping[int, float], rows: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """float64 [len(rows)]: what these rows score."""
        scores: NDArray[np.float64] = self._sums.of(query)[rows]
        return scores

    def population(self, query: Mapping[int, float], *, where: Where | None = None) -> Population:
        """What scores come to over all that whoever asks may read."""
        sums, among = self._sums.of(query), self._mask(readers_of(where))
        counted = sums if among is None else sums[among]
        return population_of(len(counted), float(counted.sum()), float(counted @ counted))
