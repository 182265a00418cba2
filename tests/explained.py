"""Parts of a score, as tests look at them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rag.core.types import ScoredDocument, ScorePart


def require_sums(hits: Sequence[ScoredDocument], parts: Sequence[Sequence[ScorePart]], *, within: float) -> None:
    """Parts of each hit sum to its score, and the largest come first."""
    assert len(parts) == len(hits)
    for hit, its_parts in zip(hits, parts, strict=True):
        assert sum(part.score for part in its_parts) == pytest.approx(hit.score, rel=1e-4, abs=within)
        amounts = [part.score for part in its_parts]
        assert amounts == sorted(amounts, reverse=True)
