"""The opened leg `pictures`: vectors of pictures by the row of their document, and the nearest of them.

rows.npy       int32 [n], the row of the document that holds a picture, ascending
vectors.npy    float32 [n, dim], unit norm
keys.npy       uint8 [n, 32], sha256 of its bytes
concepts.npy   float32 [1000, dim], or none of them, and projector.*.npy where there is one: what brings a picture there
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.filters import readers_of
from rag.indexes import Opening, SentenceEncoder, population_of
from rag.types import Population, Where
from ragline_media.tower.joint import AnyTower, tower_of
from ragline_media.tower.space import Projector, Space

_AT_ONCE = 65_536
"""Vectors that are scored together."""


def write_leg(
    folder: Path, rows: NDArray[np.int32], vectors: NDArray[np.float32], keys: Sequence[str], space: Space
) -> None:
    """Write the files of the leg into a folder, which exists."""
    np.save(folder / "rows.npy", rows)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "keys.npy", np.frombuffer(bytes.fromhex("".join(keys)), np.uint8).reshape(-1, 32))
    np.save(folder / "concepts.npy", space.concepts)
    if space.projector is not None:
        space.projector.save(folder)


class PicturesLeg:
    """Over all parts of an index. Safe to share between threads."""

    def __init__(self, opening: Opening) -> None:
        self._opening, self._mask = opening, opening.mask
        self._made_by: Mapping[str, Any] = opening.facts["encoder"]
        parts = [(_loaded(folder / "rows.npy"), _loaded(folder / "vectors.npy")) for folder in opening.folders]
        rows = [
            own if opening.rows is None else opening.rows.rows(number, own) for number, (own, _) in enumerate(parts)
        ]
        left = [each >= 0 for each in rows]
        self.rows = np.concatenate([each[kept] for each, kept in zip(rows, left, strict=True)])
        whole = len(parts) == 1 and bool(left[0].all())
        self.vectors: NDArray[np.float32] = (
            parts[0][1] if whole else np.concatenate([v[kept] for (_, v), kept in zip(parts, left, strict=True)])
        )
        self._left = left

    def warm_up(self) -> None:
        self.encoder.encode(["warm"], role="query")

    def release(self) -> None:
        self.tower.release()
        if "encoder" in self.__dict__:
            self.encoder.release()

    @property
    def keys(self) -> list[str]:
        """sha256 of each picture, in the order of vectors."""
        parts = (_loaded(folder / "keys.npy") for folder in self._opening.folders)
        return [bytes(key).hex() for own, kept in zip(parts, self._left, strict=True) for key in own[kept]]

    def row_of(self, place: int) -> Mapping[str, NDArray[np.float32]]:
        """What a maker computed of the picture at a place."""
        return {"vector": np.asarray(self.vectors[place])}

    @cached_property
    def encoder(self) -> SentenceEncoder:
        """What reads questions.

        Raises:
            IndexMismatch: its files here are not those that the leg was built with.
        """
        return SentenceEncoder.from_description(self._made_by["text"])

    @cached_property
    def tower(self) -> AnyTower:
        return tower_of(self._made_by["tower"])

    @cached_property
    def space(self) -> Space:
        """What brings features of a picture beside texts."""
        folder = self._opening.folder
        return Space(
            _loaded(folder / "concepts.npy"), Projector.load(folder) if self._opening.facts.get("fitted") else None
        )

    @property
    def text_model(self) -> Mapping[str, Any]:
        """What reads questions, as it described itself."""
        text: Mapping[str, Any] = self._made_by["text"]
        return text

    def scores(
        self, query: NDArray[np.float32], *, where: Where | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Rows that hold a picture and pass a filter, ascending, and the score of the best picture of each.

        Args:
            query: float32 [dim].
        """
        mask = self._mask(where)
        chosen = np.arange(len(self.rows)) if mask is None else np.flatnonzero(mask[self.rows])
        found = [self.vectors[chosen[start : start + _AT_ONCE]] @ query for start in range(0, len(chosen), _AT_ONCE)]
        return _best(self.rows[chosen], np.concatenate(found) if found else np.zeros(0, np.float32))

    def population(self, query: NDArray[np.float32], *, where: Where | None = None) -> Population:
        """What scores come to over all pictures that whoever asks by `where` may read."""
        _, scores = self.scores(query, where=readers_of(where))
        wide = scores.astype(np.float64)
        return population_of(len(wide), float(wide.sum()), float(wide @ wide))


def _best(rows: NDArray[np.int32], scores: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Each row once, with its best score."""
    if len(rows) < 2:
        return rows, scores
    order = np.argsort(rows, kind="stable")
    rows, scores = rows[order], scores[order]
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
    return rows[starts], np.maximum.reduceat(scores, starts)


def _loaded(file: Path) -> NDArray[Any]:
    """An array, mapped where there is something to map."""
    array: NDArray[Any] = np.load(file, allow_pickle=False)
    return np.load(file, mmap_mode="r", allow_pickle=False) if array.size else array
