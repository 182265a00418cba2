"""Every reranker that looks at the first hits alone says how many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rag.core.protocols import ReadsFirst
from rag.graph.signature import signature
from rerankers import RERANKERS

Make = Callable[[str, str], Any]


def depths() -> dict[str, int | None]:
    """Reranker -> the default of its parameter `depth`; those without one are not in it."""
    return {
        name: param.default
        for name in RERANKERS
        if not name.startswith(("test_", "bench_"))
        for param in signature(RERANKERS.get(name), "rerank").params
        if param.name == "depth"
    }


@pytest.mark.parametrize("name", depths())
def test_a_depth_is_said(name: str, make: Make) -> None:
    part = make("rerank", name)
    assert isinstance(part, ReadsFirst)
    assert part.depth == depths()[name]


def test_one_that_repeats_another_has_its_depth(make: Make) -> None:
    part = make("rerank", "self_consistency")
    part.repeated.depth = 7
    assert isinstance(part, ReadsFirst)
    assert part.depth == 7
    assert not isinstance(make("rerank", "identity"), ReadsFirst)
