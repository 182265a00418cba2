"""The parts of these tests, registered for their time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.graph.kinds import STAGES
from tests.rag.graph import parts


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    added = {
        ("retrieve", "test_fixed"): parts.FixedRetriever,
        ("reformulate", "test_two"): parts.TwoVariants,
        ("rerank", "test_bad_words"): parts.BadWords,
        ("rerank", "test_llm"): parts.NeedsLLM,
        ("rerank", "test_scores"): parts.NeedsScores,
        ("rerank", "test_weights"): parts.NeedsWeights,
    }
    for (stage, name), component in added.items():
        STAGES[stage].registry.add(name, component)
    yield
    for stage, name in added:
        del STAGES[stage].registry._table[name]
