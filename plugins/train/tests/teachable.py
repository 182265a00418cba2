"""A corpus of a few dozen passages that a model of two layers of 32 can be taught on, and the index of it."""

from __future__ import annotations

import json
import random
from pathlib import Path

from rag import build_index
from rag.indexes import IndexSettings
from tests.retrievers.tiny_encoders import WORDS, sentence_modules, tiny_bert

THEME = 4
"""Words of a passage."""


def tiny_encoder(folder: Path, *, seed: int = 0) -> Path:
    """Two layers of 32 with mean pooling, random."""
    return sentence_modules(tiny_bert(folder, seed=seed), {"pooling_mode": "mean"}, max_length=30)


def passages(n: int = 60, *, seed: int = 0) -> list[dict[str, str]]:
    """Each of four words of twenty, its title three of them: titles find their passages, and others are near."""
    chance = random.Random(seed)
    made = []
    for number in range(n):
        theme = chance.sample(WORDS, THEME)
        text = ". ".join(" ".join(chance.choice(theme) for _ in range(6)).capitalize() for _ in range(6))
        made.append({"_id": f"d{number}", "title": " ".join(theme[:3]), "text": f"{text}."})
    return made


def teachable_index(folder: Path, encoder: Path | None, *, n: int = 60, labels: Path | None = None) -> Path:
    """Words, and vectors of an encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(each) + "\n" for each in passages(n)), encoding="utf-8")
    dense = {} if encoder is None else {"dense": {"encoder": str(encoder)}}
    settings = IndexSettings.model_validate({**dense, "chunking": {"corpora": False}})
    legs = ("lexical",) if encoder is None else ("lexical", "dense")
    build_index(corpus, folder / "idx", settings=settings, legs=legs, labels=labels)
    return folder / "idx"
