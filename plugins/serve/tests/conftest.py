"""An index of the twelve documents, and a tiny random decoder that really writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.core.types import Document
from tests.generators.llm.conftest import save_random_model
from tests.scripted_graph import graph
from tests.small_index import small_index
from tests.threads import one_thread


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> Path:
    return small_index(tmp_path_factory.mktemp("serve"), documents)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("serve-model") / "tiny", max_position_embeddings=1024)


@pytest.fixture(scope="session")
def tiny_graph(tiny_model: Path) -> dict[str, Any]:
    """Search and a short answer by the tiny decoder, in float32: the same whatever the batch."""
    made = graph()
    made["nodes"]["answer"]["with"]["max_tokens"] = 20
    made["models"]["small"] = {
        "use": "llm.transformers",
        "with": {"model": str(tiny_model), "device": "cpu", "dtype": "float32"},
    }
    return made


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are slower on two threads than on one, and much slower when the machine is busy."""
    with one_thread():
        yield
