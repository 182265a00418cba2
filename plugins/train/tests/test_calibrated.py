"""CCP's calibration beside its formula, worked with the other encoder's vectors by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag import build_index
from rag.errors import SpecError
from rag.indexes import IndexSettings, LocalIndex, SentenceEncoder
from ragline_train.calibrated import (
    LEAST_TEXTS,
    SETTINGS,
    CalibratedEncoder,
    Languages,
    main,
    texts_by_language,
    write_folder,
)
from tests.retrievers.tiny_encoders import tiny_bert

GERMAN = "Der Antrag auf Urlaub ist spätestens zwei Wochen vorher zu stellen."
ENGLISH = "An application for leave has to be made two weeks before at the latest."
TEXTS = {
    "de": [f"Der Antrag {number} auf Urlaub ist zu stellen." for number in range(LEAST_TEXTS)],
    "en": [f"The warranty of laptop {number} is for years." for number in range(LEAST_TEXTS)],
}


@pytest.fixture
def bert(tmp_path: Path) -> str:
    return str(tiny_bert(tmp_path / "bert"))


@pytest.fixture
def folder(tmp_path: Path, bert: str) -> Path:
    write_folder(bert, tmp_path / "calibrated", TEXTS)
    return tmp_path / "calibrated"


def by_hand(encoder: SentenceEncoder, text: str, language: str | None) -> Any:
    of = {code: encoder.encode(texts, role="document").astype(np.float64) for code, texts in TEXTS.items()}
    means = {code: each.mean(axis=0) for code, each in of.items()}
    deviations = {code: each.std(axis=0) for code, each in of.items()}
    mean = sum(means.values()) / 2 if language is None else means[language]
    deviation = sum(deviations.values()) / 2 if language is None else deviations[language]
    [vector] = encoder.encode([text], role="query")
    moved = (vector - mean) / deviation
    return moved / np.linalg.norm(moved)


def test_a_vector_is_calibrated_by_the_language_of_its_text(folder: Path, bert: str) -> None:
    whole, other = SentenceEncoder(model=str(folder)), SentenceEncoder(model=bert)
    russian = "Заявление на отпуск подаётся за две недели."
    found = whole.encode([GERMAN, ENGLISH, russian, "1984"], role="query")
    for vector, text, language in zip(found, (GERMAN, ENGLISH, russian, "1984"), ("de", "en", None, None), strict=True):
        np.testing.assert_allclose(vector, by_hand(other, text, language), atol=1e-4)
    assert whole.encode([], role="document").shape == (0, whole.dim)


def test_what_a_language_shares_is_taken_out(folder: Path) -> None:
    """Texts of each language lie about 0 by themselves, so that none is near another for its language alone."""
    encoder = SentenceEncoder(model=str(folder))
    for texts in TEXTS.values():
        vectors = encoder.encode(texts, role="document")
        assert np.linalg.norm(vectors.mean(axis=0)) < 0.2
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_languages_are_told_among_those_that_are_known() -> None:
    among = Languages(["de", "en"])
    assert among.of(GERMAN) == "de"
    assert among.of(ENGLISH) == "en"
    assert among.of("Заявление на отпуск подаётся за две недели.") is None
    assert among.of("12 + 30") is None


def test_an_index_is_made_with_it_and_another_file_is_a_mismatch(folder: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"_id": "1", "text": GERMAN}) + "\n")
    settings = IndexSettings.model_validate({"dense": {"encoder": str(folder), "storage": "float32"}})
    build_index([corpus], tmp_path / "index", settings=settings, legs=("dense",))
    with LocalIndex.open(tmp_path / "index") as index:
        described = index.manifest.legs["dense"]
    assert "calibrated" in json.dumps(described)
    assert json.loads(json.dumps(SentenceEncoder(model=str(folder)).describe()))["kind"] == "calibrated"


@pytest.mark.parametrize(
    "said",
    [
        [],
        {},
        {"kind": "plain"},
        {"kind": "plain", "languages": {}},
        {"kind": "calibrated", "languages": {"de": {"mean": [0.0], "deviation": [1.0], "texts": 50}}},
        {"kind": "plain", "languages": {"de": {"mean": [0.0], "deviation": [0.0], "texts": 50}}},
        {"kind": "plain", "languages": {"de": {"mean": [0.0, 1.0], "deviation": [1.0], "texts": 50}}},
        {"kind": "plain", "languages": {"de": {"mean": ["0"], "deviation": [1.0], "texts": 50}}},
    ],
)
def test_what_is_no_calibration_is_refused(folder: Path, said: object) -> None:
    (folder / SETTINGS).write_text(json.dumps(said))
    with pytest.raises(SpecError, match=r"calibrated\.json.*and not"):
        CalibratedEncoder.refuses(folder)


def test_numbers_of_another_encoder_are_refused(folder: Path) -> None:
    one = {"mean": [0.0, 0.0], "deviation": [1.0, 1.0], "texts": 50}
    (folder / SETTINGS).write_text(json.dumps({"kind": "plain", "languages": {"de": one}}))
    with pytest.raises(SpecError, match="vectors of 2 numbers, and the encoder gives"):
        SentenceEncoder(model=str(folder)).encode([GERMAN], role="query")


def test_a_language_of_few_texts_is_refused_and_nothing_is_written(bert: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="at least 50 different texts to be calibrated by; there are en: 1"):
        write_folder(bert, tmp_path / "out", {"de": TEXTS["de"], "en": [ENGLISH] * 60})
    with pytest.raises(SpecError, match="there are none at all"):
        write_folder(bert, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
    with pytest.raises(SpecError, match="is there already"):
        write_folder(bert, tmp_path, TEXTS)


def test_an_index_that_says_its_languages_calibrates(bert: str, folder: Path, tmp_path: Path) -> None:
    """By the module's command: equal to what the same texts give, and a language of few texts is left out."""
    rows = [
        {"_id": f"{code}{at}", "text": text, "lang": code}
        for code, each in TEXTS.items()
        for at, text in enumerate(each)
    ]
    rows += [{"_id": "few", "text": "Le congé est payé.", "lang": "fr"}, {"_id": "none", "text": "42"}]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    build_index([corpus], tmp_path / "index", legs=("lexical",))
    found = texts_by_language([str(tmp_path / "index")])
    assert {code: len(each) for code, each in found.items()} == {"de": LEAST_TEXTS, "en": LEAST_TEXTS, "fr": 1}
    assert main([bert, str(tmp_path / "made"), str(tmp_path / "index")]) == 0
    assert json.loads((tmp_path / "made" / SETTINGS).read_text()) == json.loads((folder / SETTINGS).read_text())
