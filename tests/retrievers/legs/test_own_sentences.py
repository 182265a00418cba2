"""A model that does not say its languages counts as it finds texts by sentences of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.types import Query
from rag.indexing import build_index
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.own_sentences import fit_by_own_sentences
from retrievers.legs.protocol import FIT, settled
from tests.retrievers.tiny_encoders import tiny_static

FIRST = "bdfghklmnprstvwz"


def words(text: int, n: int) -> str:
    """A sentence of words that this text says again and again, and others hardly do."""
    chance = Random(text)
    own = ["".join(chance.choice(FIRST) + chance.choice("aeiou") for _ in range(3)) for _ in range(6)]
    return " ".join(Random(n).sample(own, 4)).capitalize() + "."


TEXTS = [" ".join(words(text, n) for n in range(3)) for text in range(50)]


def by_words(texts: Sequence[str], role: str) -> NDArray[np.float32]:
    """A vector that words share, as of a model that reads them."""
    vectors = np.zeros((len(texts), 64), dtype=np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        for word in text.casefold().replace(".", "").split():
            vector += np.random.default_rng(list(word.encode())).normal(size=64).astype(np.float32)
    return vectors


def by_chance(texts: Sequence[str], role: str) -> NDArray[np.float32]:
    """A vector that says nothing of its text."""
    return np.random.default_rng(len(role)).normal(size=(len(texts), 64)).astype(np.float32)


def by_length(texts: Sequence[str], role: str) -> NDArray[np.float32]:
    """The same vector for all: nothing is found above anything."""
    return np.ones((len(texts), 2), dtype=np.float32)


def test_a_model_that_reads_the_texts_fits_and_one_that_does_not_fits_hardly() -> None:
    fits = [fit_by_own_sentences(TEXTS, each(TEXTS, "document"), each) for each in (by_words, by_chance, by_length)]
    assert fits[0] == pytest.approx(1, abs=0.05)
    assert fits[1:] == [
        0.0,
        0.0,
    ]  # an order by chance has a mean reciprocal rank of .09, and a text that is last of 50 .02


def test_a_sentence_is_asked_of_a_text_without_it() -> None:
    seen = dict[str, list[str]]()

    def read(texts: Sequence[str], role: str) -> NDArray[np.float32]:
        seen.setdefault(role, []).extend(texts)
        return by_words(texts, role)

    fit_by_own_sentences(TEXTS, by_words(TEXTS, "document"), read)
    for question, rest in zip(seen["query"], seen["document"], strict=True):
        assert question not in rest
        assert any(question in text and sorted(f"{question}{rest}") == sorted(text) for text in TEXTS)


@pytest.mark.parametrize("texts", [TEXTS[:31], ["One sentence that stands alone here."] * 50, ["x = 1\n"] * 50])
def test_few_texts_of_several_sentences_say_nothing(texts: list[str]) -> None:
    assert fit_by_own_sentences(texts, by_words(texts, "document"), by_words) is None


def built(place: Path, texts: Sequence[str], **reading: Any) -> Path:
    (place / "c.jsonl").write_text(
        "".join(
            json.dumps({"_id": f"d{n}", "text": text, "acl": {"public": True}}) + "\n" for n, text in enumerate(texts)
        )
    )
    encoder = str(tiny_static(place / "static"))
    settings = IndexSettings.model_validate({"dense": {"encoder": encoder}, "reading": reading})
    build_index([place / "c.jsonl"], place / "index", settings=settings, legs=("lexical", "dense"))
    return place / "index"


def fit_of(index: LocalIndex) -> float:
    [population] = DenseRetriever(index=index).populations([Query(qid="q", text="leave")])
    assert population is not None
    return population.fit


def test_a_build_keeps_what_it_measured_and_a_search_weighs_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("retrievers.legs.own_sentences.fit_by_own_sentences", lambda *_: 0.25)
    with LocalIndex.open(built(tmp_path, TEXTS)) as index:
        facts = index.facts("dense")
        assert facts[FIT] == 0.25
        assert FIT not in settled(facts)  # other texts, and the same leg
        assert fit_of(index) == 0.25
    assert "finds these texts by sentences of them far less often than words do" in caplog.text


def test_nothing_is_measured_where_it_would_tell_of_texts_that_one_may_not_read(tmp_path: Path) -> None:
    with LocalIndex.open(built(tmp_path, TEXTS, access="acl", own_statistics=True)) as index:
        assert FIT not in index.facts("dense")
        assert fit_of(index) == 1.0
