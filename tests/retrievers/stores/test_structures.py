"""A vector structure of one's own: one class and one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from rag.core.errors import IndexMismatch
from rag.core.progress import Progress
from rag.core.types import Document, Query
from rag.graph.schema import graph_schema
from rag.indexing import build_index
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.leg import DenseLeg
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.dense.settings import DenseSettings
from retrievers.stores import STRUCTURES
from retrievers.stores.vectors import Hits


class Halves:
    """float16 in a plain file, all of it looked at."""

    def exact(self, storage: str) -> bool:
        return False

    def write(self, vectors: NDArray[np.float32], folder: Path, *, storage: str, progress: Progress) -> None:
        np.save(folder / "halves.npy", vectors.astype(np.float16))

    def open(self, folder: Path, *, storage: str) -> HalvesStore:
        return HalvesStore(np.load(folder / "halves.npy"))


class HalvesStore:
    def __init__(self, halves: NDArray[np.float16]) -> None:
        self.halves = halves

    @property
    def shape(self) -> tuple[int, int]:
        return self.halves.shape[0], self.halves.shape[1]

    def search(self, queries: NDArray[np.float32], *, k: int, mask: NDArray[np.bool_] | None) -> Hits:
        scores = queries @ self.halves.astype(np.float32).T
        if mask is not None:
            scores = np.where(mask, scores, -np.inf)
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, rows, axis=1)
        return np.where(best > -np.inf, rows, -1).astype(np.int32), best.astype(np.float32)

    def vectors(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        return self.halves[rows].astype(np.float32)


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STRUCTURES, "_table", dict(STRUCTURES._table))  # what is added here is gone afterwards
    STRUCTURES.add("halves", Halves)


def test_a_structure_of_ones_own_is_built_and_searched(
    mean_bert: Path, tmp_path: Path, documents: tuple[Document, ...]
) -> None:
    for document in documents:
        (tmp_path / f"{document.doc_id}.txt").write_text(document.full_text)
    rankings = []
    for structure in ("flat", "halves"):
        settings = IndexSettings(dense=DenseSettings(encoder=str(mean_bert), structure=structure, compute="float32"))
        build_index(sorted(tmp_path.glob("*.txt")), tmp_path / structure, settings=settings, legs=["dense"])
        with LocalIndex.open(tmp_path / structure) as index:
            assert index.facts("dense")["structure"] == structure
            assert ("recall_at_10" in index.facts("dense")) == (structure == "halves")
            [ranking] = DenseRetriever(index=index).retrieve([Query(qid="1", text="a lost laptop")], k=5)
            rankings.append(ranking)
            other = IndexSettings.model_validate({"dense": {"structure": "hnsw"}})
            with pytest.raises(IndexMismatch, match=f"dense.structure '{structure}'; the graph asks for 'hnsw'"):
                index.check(other, ["dense"])
    flat, halves = rankings
    scores = [hit.score for hit in flat.hits]
    assert [hit.score for hit in halves.hits] == pytest.approx(scores, abs=1e-2)


def test_the_names_are_those_of_the_table() -> None:
    said = graph_schema()["$defs"]["DenseSettings"]["properties"]["structure"]
    assert said["enum"] == ["auto", "flat", "halves", "hnsw", "ivf_pq", "rabitq"]
    with pytest.raises(ValidationError, match="Input should be 'auto', 'flat', 'halves', 'hnsw', 'ivf_pq' or 'rabitq'"):
        DenseSettings(structure="ivf")


def test_a_structure_that_is_not_here_is_named(tmp_path: Path) -> None:
    facts = DenseLeg.build(np.eye(3, dtype=np.float32), tmp_path / "leg", settings=DenseSettings(structure="halves"))
    del STRUCTURES._table["halves"]
    with pytest.raises(Exception, match=r"no component named 'structure.halves'. .*flat, hnsw"):
        DenseLeg.open(tmp_path / "leg", facts)
