"""A small index, two encoders for it, and which of them made its vectors."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from rag.indexing import build_index
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from tests.rag.static_encoders import WORDS, static_encoder


def two_encoders(folder: Path) -> dict[str, str]:
    """`good` tells words apart; `poor` takes every word for one of two."""
    good = np.eye(len(WORDS), dtype=np.float32)
    poor = good[:, :2].copy()
    poor[np.arange(len(WORDS)), np.arange(len(WORDS)) % 2] = 1
    return {name: str(static_encoder(folder / name, table)) for name, table in (("good", good), ("poor", poor))}


def some_texts() -> list[str]:
    chance = random.Random(3)
    return [" ".join(chance.sample(WORDS, 5)) for _ in range(60)]


def make(folder: Path, texts: list[str], encoder: str) -> Path:
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(texts)))
    settings = IndexSettings.model_validate({"dense": {"encoder": encoder}, "chunking": {"corpora": False}})
    build_index(corpus, folder / "idx", settings=settings, legs=("lexical", "dense"))
    return folder / "idx"


def encoder_of(index: LocalIndex) -> str:
    """Name of the folder that its vectors were made with; their length says the same."""
    name = str(index.manifest.settings.section("dense").model_dump()["encoder"])
    assert index.leg("dense").dim == (2 if name.endswith("poor") else len(WORDS))
    return name
