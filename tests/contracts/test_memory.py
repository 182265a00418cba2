"""Whatever tells its memory tells it in full, loads nothing for it, and works again after it was released."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rag.core.memory import Need, TellsMemory
from rag.core.types import Ranking
from rag.graph.kinds import STAGES

Make = Callable[[str, str], Any]


def telling() -> list[tuple[str, str]]:
    return [
        (stage, name)
        for stage, kind in STAGES.items()
        for name in kind.registry
        if not name.startswith(("test_", "bench_")) and hasattr(kind.registry.get(name), "memory")
    ]


@pytest.mark.parametrize(("stage", "name"), telling())
def test_needs_are_bytes_with_a_name(stage: str, name: str, make: Make) -> None:
    part = make(stage, name)
    assert isinstance(part, TellsMemory)
    for need in part.memory():
        assert isinstance(need, Need)
        assert need.what
        assert need.n_bytes > 0


@pytest.mark.parametrize("name", [name for stage, name in telling() if stage == "rerank"])
def test_a_released_reranker_ranks_as_before(name: str, make: Make, rankings_of_index: list[Ranking]) -> None:
    part = make("rerank", name)
    before = part.rerank(rankings_of_index[:1], k=5)
    getattr(part, "release", lambda: None)()
    after = part.rerank(rankings_of_index[:1], k=5)
    assert [ranking.hits for ranking in after] == [ranking.hits for ranking in before]
