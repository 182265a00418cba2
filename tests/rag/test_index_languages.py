"""What an index says of its language: of models that were made for others, of stemmers, of codes that are none."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from rag.core.errors import SpecError
from rag.core.types import Query
from rag.indexing import build_index
from rag.indexing.languages import warn_of_language
from retrievers.analyzer_settings import AnalyzerSettings
from retrievers.bm25 import BM25Retriever
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.settings import DenseSettings

POLISH = IndexSettings(analyzer=AnalyzerSettings(language="pl"))


POLISH_TEXTS = ["Zamek został zbudowany w roku 1400 na wzgórzu, które jest dziś w środku miasta.", "x = 12"]


def told(
    caplog: pytest.LogCaptureFixture,
    settings: IndexSettings,
    legs: tuple[str, ...],
    texts: Sequence[str] = (),
    **counts: int,
) -> str:
    with caplog.at_level(logging.WARNING):
        warn_of_language(settings, legs, counts, texts)
    return caplog.text


def test_models_for_english_over_polish_are_named(caplog: pytest.LogCaptureFixture) -> None:
    said = told(caplog, POLISH, ("lexical", "dense", "sparse"))
    assert "the texts are in 'pl'" in said
    assert "all-minilm-l6-v2 (dense, for en); splade-tiny (sparse, for en)" in said


@pytest.mark.parametrize(
    ("settings", "legs"),
    [
        (IndexSettings(), ("lexical", "dense")),
        (POLISH, ("lexical",)),
        (POLISH.model_copy(update={"dense": DenseSettings(encoder="some/multilingual")}), ("dense",)),
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(
    caplog: pytest.LogCaptureFixture, settings: IndexSettings, legs: tuple[str, ...]
) -> None:
    assert told(caplog, settings, legs) == ""


def test_the_language_of_most_documents_counts(caplog: pytest.LogCaptureFixture) -> None:
    assert "the texts are in 'de'" in told(caplog, IndexSettings(), ("dense",), en=2, de=3)
    caplog.clear()
    assert told(caplog, POLISH, ("dense",), en=5, pl=1) == ""


def test_where_nobody_looked_the_texts_themselves_count(caplog: pytest.LogCaptureFixture) -> None:
    assert "the texts are in 'pl'" in told(caplog, IndexSettings(), ("dense",), POLISH_TEXTS)
    caplog.clear()
    assert told(caplog, IndexSettings(), ("dense",), [*POLISH_TEXTS, *["x = 12"] * 9]) == ""


def test_a_language_that_is_no_code_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"must be an ISO 639-1 code such as 'en' or 'zh', or 'each' .* got 'English'"):
        IndexSettings.model_validate({"analyzer": {"language": "English"}})


def test_an_analyzer_that_is_not_there_is_refused_before_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Mambo mazuri.")
    settings = IndexSettings.model_validate({"analyzer": {"language": "xx", "stemmer": "snowball"}})
    read: list[str] = []
    why = "no Snowball stemmer for language 'xx'; there is one for "
    with pytest.raises(SpecError, match=rf"index\.analyzer: {re.escape(why)}"):
        build_index(
            tmp_path / "a.txt",
            tmp_path / "index",
            settings=settings,
            legs=["lexical"],
            progress=lambda step, done, total: read.append(step),
        )
    assert read == []


def test_a_language_without_a_stemmer_is_indexed_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.txt").write_text("Mambo mazuri.")
    settings = IndexSettings(analyzer=AnalyzerSettings(language="sw"))
    with caplog.at_level(logging.WARNING):
        build_index(tmp_path / "a.txt", tmp_path / "index", settings=settings, legs=["lexical"])
    assert "index.analyzer: language 'sw' has no stemmer here" in caplog.text
    with LocalIndex.open(tmp_path / "index") as index:
        [ranking] = BM25Retriever(index=index).retrieve([Query(qid="q", text="mazuri")], k=1)
    assert len(ranking.hits) == 1
