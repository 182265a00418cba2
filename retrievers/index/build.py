"""Builds the legs of an index from its documents, with the vectors that the generation before has."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress
from retrievers.index.documents import Documents
from retrievers.index.reuse import ENCODED, previous_vectors
from retrievers.index.settings import DenseSettings, IndexSettings

if TYPE_CHECKING:
    from retrievers.encoders import SentenceEncoder
    from retrievers.index.directory import Index
    from retrievers.promptreps_encoder import PromptRepsEncoder
    from retrievers.sentence_folder import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """float32 [n, dim], how many texts of it the generation before had, and how many were encoded now."""

    vectors: NDArray[np.float32]
    n_reused: int
    n_encoded: int


def build_lexical(documents: Documents, folder: Path, *, settings: IndexSettings, progress: Progress) -> dict[str, Any]:
    """Write the lexical leg and return the facts it was built with."""
    from retrievers.index.lexical import LexicalLeg

    folder.mkdir()
    return LexicalLeg.build(
        documents.index_texts, folder, analyzer=settings.analyzer, bm25=settings.bm25, progress=progress
    )


def encode(
    documents: Documents, *, encoder: SentenceEncoder, work: Path, previous: Index | None, progress: Progress
) -> Encoded:
    """Vectors of all documents. `work` keeps finished shards, so that a killed build goes on where it stopped."""
    from retrievers.index.encode_units import encode_units

    _require_room(work, n=len(documents), dim=encoder.dim)
    reuse = previous_vectors(previous, encoder.describe())
    counted = _Counted(encoder)
    vectors = encode_units(
        documents.index_texts, encoder=cast("SentenceEncoder", counted), work=work, reuse=reuse, progress=progress
    )
    return Encoded(vectors=vectors, n_reused=reuse.n_taken if reuse else 0, n_encoded=counted.n_texts)


def build_dense(
    vectors: NDArray[np.float32], folder: Path, *, settings: DenseSettings, progress: Progress
) -> dict[str, Any]:
    """Write the dense leg and return the facts it was built with."""
    from retrievers.index.vectors import DenseLeg

    folder.mkdir()
    facts = DenseLeg.build(vectors, folder, settings=settings, progress=progress)
    if settings.storage != "float32":
        np.save(folder.parent / ENCODED, vectors)
    return facts


def build_promptreps(
    documents: Documents,
    folder: Path,
    *,
    encoder: PromptRepsEncoder,
    work: Path,
    previous: Index | None,
    progress: Progress,
) -> tuple[dict[str, Any], int]:
    """Write the promptreps leg; the facts it was built with, and how many texts its model read.

    `work` keeps finished blocks, so that a killed build goes on where it stopped; what the generation before has by the
    same encoder is taken from there.
    """
    from retrievers.index.encode_units import digest_of
    from retrievers.index.promptreps import write_leg
    from retrievers.promptreps_store import represent

    described = encoder.describe()
    rows: dict[bytes, int] = {}
    before = None
    if previous is not None and (previous.manifest.promptreps or {}).get("encoder") == described:
        before = previous.promptreps
        rows = {digest_of(text): row for row, text in enumerate(previous.documents.index_texts)}
    ones, n_read = represent(
        documents.index_texts, encoder, work=work / "promptreps", before=before, previous=rows, progress=progress
    )
    folder.mkdir()
    return {"encoder": described, **write_leg(ones, folder, n=len(documents))}, n_read


def _require_room(work: Path, *, n: int, dim: int) -> None:
    """Raise OSError ENOSPC now, not after hours of encoding, unless shards, result and leg will fit.

    They are written through memory maps as well, where a full disk ends the process without a word.
    """
    needed = n * (3 * 4 * dim + 32) - sum(file.stat().st_blocks * 512 for file in work.iterdir())
    free = shutil.disk_usage(work).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"vectors need {needed / 1e9:,.3f} GB, {free / 1e9:,.3f} GB are free")


class _Counted:
    """An encoder that counts the texts it is given."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder, self.dim, self.n_texts = encoder, encoder.dim, 0

    def describe(self) -> dict[str, Any]:
        return self._encoder.describe()

    def encode(self, texts: Sequence[str], *, role: Role) -> NDArray[np.float32]:
        self.n_texts += len(texts)
        return self._encoder.encode(texts, role=role)
