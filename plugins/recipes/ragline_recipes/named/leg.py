"""The opened leg `named`: the names of each text, and the nearest of them.

rows.npy       int32 [n], the row of the text that has a name, ascending
places.npy     int32 [n], which name that is
vectors.npy    float32 [n names, dim], unit norm
names.json     the names, each once
"""

from __future__ import annotations

import json
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rag.filters import readers_of
from rag.indexes import Opening, SentenceEncoder, population_of
from rag.types import Population, Where

ROWS, PLACES, VECTORS, NAMES = "rows.npy", "places.npy", "vectors.npy", "names.json"


class NamedLeg:
    """Names and their vectors. Safe to share between threads."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self.rows, self.places, self.vectors = (
            np.load(opening.folder / name, allow_pickle=False) for name in (ROWS, PLACES, VECTORS)
        )

    def warm_up(self) -> None:
        """Load what reads types."""
        self.encoder.encode(["warm"], role="query")

    def release(self) -> None:
        """Let go of weights; the next question loads them again."""
        if "encoder" in self.__dict__:
            self.encoder.release()

    @cached_property
    def encoder(self) -> SentenceEncoder:
        """What reads types, and read names.

        Raises:
            IndexMismatch: its files here are not those that the leg was built with.
        """
        return SentenceEncoder.from_description(self._opening.facts["encoder"])

    @cached_property
    def names(self) -> list[str]:
        """All of them, by their place."""
        listed: list[str] = json.loads((self._opening.folder / NAMES).read_text(encoding="utf-8"))
        return listed

    def scores(
        self, query: NDArray[np.float32], *, where: Where | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
        """Rows that have a name and pass a filter, ascending; the cosine of the nearest name of each; and which that is.

        Args:
            query: float32 [dim].
        """
        mask = self._opening.mask(where)
        chosen = np.arange(len(self.rows)) if mask is None else np.flatnonzero(mask[self.rows])
        places = self.places[chosen]
        found: NDArray[np.float32] = (self.vectors @ query)[places] if len(chosen) else np.zeros(0, np.float32)
        order = np.lexsort((places, -found, self.rows[chosen]))  # by row, the nearest name of each first
        rows: NDArray[np.int32] = self.rows[chosen][order]
        first = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]]) if len(rows) else np.zeros(0, np.int64)
        return rows[first], found[order][first], places[order][first]

    def population(self, query: NDArray[np.float32], *, where: Where | None = None) -> Population:
        """What scores come to over all rows with a name that whoever asks by `where` may read."""
        _, found, _ = self.scores(query, where=readers_of(where))
        wide = found.astype(np.float64)
        return population_of(len(wide), float(wide.sum()), float(wide @ wide))
