"""A warning where an index is in a language that its models were not made for."""

from __future__ import annotations

import logging

import pytest

from rag.indexing.languages import warn_of_language
from retrievers.analyzer_settings import AnalyzerSettings
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.settings import DenseSettings

POLISH = IndexSettings(analyzer=AnalyzerSettings(language="pl"))


def told(caplog: pytest.LogCaptureFixture, settings: IndexSettings, legs: tuple[str, ...], **counts: int) -> str:
    with caplog.at_level(logging.WARNING):
        warn_of_language(settings, legs, counts)
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
