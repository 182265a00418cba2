"""The dense leg of an index: vectors on disk, and the nearest of them by inner product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.optional import need
from rag.core.progress import Progress, silent
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.protocol import RECALL
from retrievers.stores import STRUCTURES
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.vectors import ChainsVectors, Hits, VectorStore, VectorStructure

_RECALL_AT = 10
_RECALL_SAMPLE = 200


class DenseLeg:
    """Nearest neighbours among the vectors of a corpus."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store

    @classmethod
    def build(
        cls,
        vectors: NDArray[np.float32],
        folder: Path,
        *,
        settings: DenseSettings,
        progress: Progress = silent,
    ) -> dict[str, Any]:
        """Write the leg into `folder` and return what a manifest has to keep of it.

        Where the structure's search is not exact, `recall_at_10` tells how many of the ten true neighbours
        of a vector of the corpus are found: the mean over 200 of them, or all if there are fewer.

        Args:
            vectors: float32 [n, dim], memory-mapped or not; read in blocks.
        """
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise ValueError(f"dense leg: vectors must be float32 [n, dim], got {vectors.dtype} {vectors.shape}")
        need("faiss", by="the dense leg")
        folder.mkdir(parents=True, exist_ok=True)
        structure: VectorStructure = STRUCTURES.get(settings.structure)()
        structure.write(vectors, folder, storage=settings.storage, progress=progress)
        facts: dict[str, Any] = {
            "structure": settings.structure,
            "storage": settings.storage,
            "rows": len(vectors),
            "dim": vectors.shape[1],
        }
        if not structure.exact(settings.storage) and len(vectors) > 1:
            facts[RECALL] = _recall(cls.open(folder, facts), vectors, progress=progress)
        return facts

    @classmethod
    def open(cls, folder: Path, facts: Mapping[str, Any]) -> DenseLeg:
        """Open what `build` wrote; vectors stay on disk until they are touched.

        Raises:
            IndexProblem: a file is absent, cannot be read, or is not what `facts` say.
        """
        structure: VectorStructure = STRUCTURES.get(str(facts.get("structure")))()
        return cls._checked(partial(structure.open, folder, storage=str(facts.get("storage"))), folder, facts)

    @staticmethod
    def chains(facts: Mapping[str, Any]) -> bool:
        """Whether vectors that are arranged so can lie in parts: where all of them are looked at, exactly."""
        structure = STRUCTURES.get(str(facts.get("structure")))()
        return isinstance(structure, ChainsVectors) and structure.exact(str(facts.get("storage")))

    @classmethod
    def open_chain(cls, folders: Sequence[Path], facts: Mapping[str, Any], rows: ChainRows) -> DenseLeg:
        """Legs of parts as one. `facts`: of the whole.

        Raises:
            IndexProblem: a file is absent, cannot be read, or is not what `facts` say.
        """
        structure: ChainsVectors = STRUCTURES.get(str(facts.get("structure")))()
        return cls._checked(partial(structure.open_chain, folders, rows), folders[0], facts)

    @classmethod
    def _checked(cls, open_store: Callable[[], VectorStore], folder: Path, facts: Mapping[str, Any]) -> DenseLeg:
        need("faiss", by="the dense leg")
        try:
            store = open_store()
        except (OSError, EOFError, ValueError, RuntimeError) as cause:
            raise IndexProblem(f"dense leg '{folder}' cannot be read ({cause}). Rebuild the index.") from cause
        if store.shape != (facts.get("rows"), facts.get("dim")):
            raise IndexProblem(
                f"dense leg '{folder}' has {store.shape[0]} vectors of {store.shape[1]} numbers, but the manifest says"
                f" {facts.get('rows')} of {facts.get('dim')}. Rebuild the index."
            )
        return cls(store)

    def __len__(self) -> int:
        return self._store.shape[0]

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._store.shape[1]

    def search(self, vectors: NDArray[np.float32], *, k: int, mask: NDArray[np.bool_] | None = None) -> Hits:
        """The k rows with the greatest inner product, for each query vector.

        Args:
            vectors: float32 [n_queries, dim].
            mask: bool [rows of the index]; only rows that are true can be hits, and k is filled from them.
        Returns:
            rows int32 [n_queries, k], filled up with -1; scores float32 [n_queries, k], filled up with -inf. Best first,
            ties by row ascending.
        """
        if k < 1:
            raise ValueError(f"dense leg: k must be at least 1, got {k}")
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ValueError(f"dense leg: vectors must be [n, {self.dim}], got {list(vectors.shape)}")
        if mask is not None and mask.shape != (len(self),):
            raise ValueError(f"dense leg: mask must be [{len(self)}], got {list(mask.shape)}")
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        possible = min(k, len(self))
        rows = np.full((len(queries), k), -1, dtype=np.int32)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        if possible and len(queries):
            rows[:, :possible], scores[:, :possible] = self._store.search(queries, k=possible, mask=mask)
        return rows, scores

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows), dim]: the vectors of these rows, as exact as the leg keeps them."""
        return self._store.vectors(np.asarray(rows))


def _recall(leg: DenseLeg, vectors: NDArray[np.float32], *, progress: Progress) -> float:
    """Share of the true nearest neighbours that `leg` finds, the vector itself not counted.

    A found row counts by its true score, so that one of several equal neighbours is as good as another."""
    from retrievers.stores.flat import MappedStore

    sample = np.sort(np.random.default_rng(0).permutation(len(vectors))[:_RECALL_SAMPLE])
    queries = np.array(vectors[sample])
    k = min(_RECALL_AT + 1, len(vectors))
    progress("measure recall", 0, 1)
    true_rows, true_scores = MappedStore(vectors).search(queries, k=k, mask=None)
    found_rows, _ = leg.search(queries, k=k)
    shares = []
    for own, query, expected, scores, rows in zip(sample, queries, true_rows, true_scores, found_rows, strict=True):
        wanted = scores[expected != own][:_RECALL_AT]
        others = rows[(rows != own) & (rows >= 0)][:_RECALL_AT]
        good = vectors[others] @ query >= wanted[-1] - 1e-6
        shares.append(good.sum() / len(wanted))
    progress("measure recall", 1, 1)
    return round(float(np.mean(shares)), 4)
