"""The vector structures that ship: all vectors one after the other, and a graph between neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress
from retrievers.stores import faiss_store, flat
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.vectors import VectorStore


class Flat:
    """Every vector is looked at. float32 vectors are mapped from an npy file, int8 ones are in a faiss file."""

    def exact(self, storage: str) -> bool:
        return storage == "float32"

    def write(self, vectors: NDArray[np.float32], folder: Path, *, storage: str, progress: Progress) -> None:
        if self.exact(storage):
            flat.write(vectors, folder, progress=progress)
        else:
            faiss_store.write(vectors, folder, graph=False, storage=storage, progress=progress)

    def open(self, folder: Path, *, storage: str) -> VectorStore:
        return flat.read(folder) if self.exact(storage) else faiss_store.read(folder)

    def open_chain(self, folders: Sequence[Path], rows: ChainRows) -> VectorStore:
        return flat.read_chain(folders, rows)

    def merge(self, folders: Sequence[Path], rows: ChainRows, folder: Path) -> None:
        flat.write(flat.chained(folders, rows), folder)


class Hnsw:
    """A walk through a graph of neighbours (Malkov and Yashunin, TPAMI 2020)."""

    def exact(self, storage: str) -> bool:
        return False

    def write(self, vectors: NDArray[np.float32], folder: Path, *, storage: str, progress: Progress) -> None:
        faiss_store.write(vectors, folder, graph=True, storage=storage, progress=progress)

    def open(self, folder: Path, *, storage: str) -> VectorStore:
        return faiss_store.read(folder)
