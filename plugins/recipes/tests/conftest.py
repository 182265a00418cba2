"""An index of the twelve documents with both legs, and one that is only dense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.core.types import Document
from rag.indexing import build_index
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.settings import DenseSettings
from tests.tiny_models import tiny_sentence_model


def _corpus(place: Path, documents: tuple[Document, ...]) -> Path:
    records = ({"_id": d.doc_id, "title": d.title, "text": d.text} for d in documents)
    (place / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    return place / "corpus.jsonl"


@pytest.fixture(scope="session")
def lexical_index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> LocalIndex:
    place = tmp_path_factory.mktemp("lexical")
    build_index([_corpus(place, documents)], place / "index", legs=("lexical",))
    return LocalIndex.open(place / "index")


@pytest.fixture(scope="session")
def dense_index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> LocalIndex:
    place = tmp_path_factory.mktemp("dense")
    encoder = tiny_sentence_model(place / "encoder")
    settings = IndexSettings(dense=DenseSettings(encoder=str(encoder), compute="float32"))
    build_index([_corpus(place, documents)], place / "index", settings=settings, legs=("dense",))
    return LocalIndex.open(place / "index")
