"""The dense leg of an index: vectors on disk, and the nearest of them by inner product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.optional import need
from rag.core.progress import Progress, silent
from rag.core.types import Population
from retrievers.legs.dense.by_language import Languages, Means, Shifts
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.protocol import RECALL
from retrievers.stores import STRUCTURES
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.lru_cache import Kept
from retrievers.stores.moments import LEAST_KEPT, Moments, Spread
from retrievers.stores.vectors import ChainsVectors, Hits, VectorStore, VectorStructure

_SPREAD_BYTES = 64 << 20
"""How vectors lie, that is kept: of all, and of those that askers may read."""
_RECALL_AT = 10
_RECALL_SAMPLE = 200


class DenseLeg:
    """Nearest neighbours among the vectors of a corpus. Safe to share between threads.

    Args:
        moments: adds up the vectors; called by whoever first asks for a population.
        shifts: what is taken off which rows, as they are in several languages.
    """

    def __init__(self, store: VectorStore, moments: Callable[[], Moments], shifts: Shifts | None = None) -> None:
        self._store, self._all, self._shifts = store, moments, shifts
        self._spreads = Kept[Spread](_SPREAD_BYTES, lambda spread: spread.n_bytes)
        self._means = Kept[Means](_SPREAD_BYTES, lambda means: means.n_bytes)

    @classmethod
    def build(
        cls,
        vectors: NDArray[np.float32],
        folder: Path,
        *,
        settings: DenseSettings,
        languages: Languages | None = None,
        progress: Progress = silent,
    ) -> dict[str, Any]:
        """Write the leg into `folder` and return what a manifest has to keep of it.

        Where the structure's search is not exact, `recall_at_10` tells how many of the ten true neighbours
        of a vector of the corpus are found: the mean over 200 of them, or all if there are fewer.

        Args:
            vectors: float32 [n, dim], memory-mapped or not; read in blocks.
            languages: of the rows; None where nobody looked.
        """
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise ValueError(f"dense leg: vectors must be float32 [n, dim], got {vectors.dtype} {vectors.shape}")
        need("faiss", by="the dense leg")
        folder.mkdir(parents=True, exist_ok=True)
        structure: VectorStructure = STRUCTURES.get(settings.structure)()
        structure.write(vectors, folder, storage=settings.storage, progress=progress)
        if len(vectors) >= LEAST_KEPT:
            Moments.of_vectors(vectors).write(folder)
        facts: dict[str, Any] = {
            "structure": settings.structure,
            "storage": settings.storage,
            "rows": len(vectors),
            "dim": vectors.shape[1],
        }
        if not structure.exact(settings.storage) and len(vectors) > 1:
            facts[RECALL] = _recall(cls.open(folder, facts), vectors, progress=progress)
        if languages is not None:
            languages.write(folder)
        return facts

    @classmethod
    def open(cls, folder: Path, facts: Mapping[str, Any]) -> DenseLeg:
        """Open what `build` wrote; vectors stay on disk until they are touched.

        Raises:
            IndexProblem: a file is absent, cannot be read, or is not what `facts` say.
        """
        structure: VectorStructure = STRUCTURES.get(str(facts.get("structure")))()

        def open_store() -> tuple[VectorStore, Callable[[], Moments]]:
            store = structure.open(folder, storage=str(facts.get("storage")))
            kept = Moments.read(folder, store.shape[0])
            return store, lambda: kept or Moments.of_rows(store)

        return cls._checked(open_store, folder, facts, partial(Languages.read, [folder]))

    @staticmethod
    def why_whole(facts: Mapping[str, Any]) -> str:
        """Why vectors that are arranged so cannot lie in parts; empty where all of them are looked at, exactly."""
        name, storage = str(facts.get("structure")), str(facts.get("storage"))
        structure = STRUCTURES.get(name)()
        in_parts = isinstance(structure, ChainsVectors) and structure.exact(storage)
        return "" if in_parts else f"vectors as {name}, {storage} are laid out by all of them"

    @classmethod
    def open_chain(cls, folders: Sequence[Path], facts: Mapping[str, Any], rows: ChainRows) -> DenseLeg:
        """Legs of parts as one. `facts`: of the whole.

        Raises:
            IndexProblem: a file is absent, cannot be read, or is not what `facts` say.
        """
        structure: ChainsVectors = STRUCTURES.get(str(facts.get("structure")))()

        def open_store() -> tuple[VectorStore, Callable[[], Moments]]:
            store = structure.open_chain(folders, rows)
            parts = [structure.open(folder, storage=str(facts.get("storage"))) for folder in folders]
            kept = [Moments.read(folder, size) for folder, size in zip(folders, rows.sizes, strict=True)]
            return store, partial(_moments_of_parts, parts, kept, rows)

        return cls._checked(open_store, folders[0], facts, partial(Languages.read, folders, rows))

    @classmethod
    def merge(cls, folders: Sequence[Path], facts: Mapping[str, Any], rows: ChainRows, folder: Path) -> None:
        """Write what is left of the legs of parts as one.

        Raises:
            IndexProblem: as `open_chain`.
            OSError: the disk is full.
        """
        structure: ChainsVectors = STRUCTURES.get(str(facts.get("structure")))()
        structure.merge(folders, rows, folder)
        if len(rows) >= LEAST_KEPT:
            cls.open_chain(folders, facts, rows).moments().write(folder)
        if (languages := Languages.read(folders, rows)) is not None:
            languages.write(folder)

    @classmethod
    def _checked(
        cls,
        open_store: Callable[[], tuple[VectorStore, Callable[[], Moments]]],
        folder: Path,
        facts: Mapping[str, Any],
        languages: Callable[[], Languages | None],
    ) -> DenseLeg:
        need("faiss", by="the dense leg")
        try:
            store, moments = open_store()
        except (OSError, EOFError, ValueError, RuntimeError) as cause:
            raise IndexProblem(f"dense leg '{folder}' cannot be read ({cause}). Rebuild the index.") from cause
        if store.shape != (facts.get("rows"), facts.get("dim")):
            raise IndexProblem(
                f"dense leg '{folder}' has {store.shape[0]} vectors of {store.shape[1]} numbers, but the manifest says"
                f" {facts.get('rows')} of {facts.get('dim')}. Rebuild the index."
            )
        known = languages()
        return cls(store, moments, known.shifts() if known else None)

    def __len__(self) -> int:
        return self._store.shape[0]

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._store.shape[1]

    def search(
        self,
        vectors: NDArray[np.float32],
        *,
        k: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> Hits:
        """The k rows with the greatest inner product, for each query vector.

        Where rows are in several languages, what tells these is taken off (`retrievers.legs.dense.by_language`).

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
        possible, shifts = min(k, len(self)), self._shifts
        rows = np.full((len(queries), k), -1, dtype=np.int32)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        if possible and len(queries):
            rows[:, :possible], scores[:, :possible] = (
                shifts.search(self._store, queries, possible, mask)
                if shifts
                else self._store.search(queries, k=possible, mask=mask)
            )
        return rows, scores

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows)]: what `search` gives these rows for a query vector, float32 [dim]."""
        inner = self.vectors(rows) @ query
        return self._shifts.scores(inner, query, np.asarray(rows)) if self._shifts else inner

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows), dim]: the vectors of these rows, as exact as the leg keeps them."""
        return self._store.vectors(np.asarray(rows))

    def population(self, query: NDArray[np.float32], *, among: NDArray[np.bool_] | None = None) -> Population:
        """What inner products with a query vector, float32 [dim], come to over all rows.

        Args:
            among: bool [rows of the index]: the rows that count, as if there were no others. The first question that asks
                so reads these rows, or the others where they are fewer; later ones find the sums kept.
        """
        counted = None if among is None or among.all() else among
        key = b"" if counted is None else blake2b(np.packbits(counted).tobytes(), digest_size=16).digest()
        spread = self._spreads.get(key, lambda: self._moments_among(counted).spread())
        found, shifts = spread.population(query), self._shifts
        if shifts is None:
            return found
        return shifts.population(found, query, self._means.get(key, lambda: shifts.means(self._store, counted)))

    def moments(self) -> Moments:
        """Sums over all vectors. Those that the leg does not keep are added up each time."""
        return self._all()

    def _moments_among(self, among: NDArray[np.bool_] | None) -> Moments:
        if among is None:
            return self.moments()
        counted, others = np.flatnonzero(among), np.flatnonzero(~among)
        if len(counted) <= len(others):
            return Moments.of_rows(self._store, counted)
        return self.moments() - Moments.of_rows(self._store, others)


def _moments_of_parts(parts: Sequence[VectorStore], kept: Sequence[Moments | None], rows: ChainRows) -> Moments:
    """Of what is left of the vectors of all parts. What a part keeps is of all that it had."""
    total = Moments.none(parts[0].shape[1])
    for store, known, left, gone in zip(parts, kept, rows.left, rows.removed, strict=True):
        if known is None or (gone is not None and left is not None and len(left) < len(gone)):
            total += Moments.of_rows(store, left)
        else:
            total += known if gone is None else known - Moments.of_rows(store, gone)
    return total


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
