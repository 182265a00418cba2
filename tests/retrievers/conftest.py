"""A tiny encoder folder, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.retrievers.tiny_encoders import sentence_modules, tiny_bert


@pytest.fixture(scope="session")
def plain_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder without modules.json. Not to be changed."""
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="session")
def mean_bert(plain_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder with mean pooling and unit norm. Not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "mean"
    shutil.copytree(plain_bert, folder)
    return sentence_modules(folder, {"pooling_mode_mean_tokens": True})


@pytest.fixture
def sentence_folder(plain_bert: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a sentence-transformers folder of the test's own; parameters of `sentence_modules`."""

    def make(pooling: dict[str, Any], **others: Any) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(plain_bert, folder)
        return sentence_modules(folder, pooling, **others)

    return make
