"""Names in other languages in what legs index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.recipes.tests.names import names_file
from rag import build_index, load_pipeline
from rag.errors import SpecError
from rag.graphs import load_spec
from rag.types import Document, Query
from ragline_recipes.code_switch import CodeSwitchTransform

NAMES = {
    "Haus": {"en": "house", "fr": "maison"},
    "Fluss": {"en": "river"},
    "Berlin": {"en": "Berlin", "pl": "Berlin"},
    "altes Haus": {"en": "old house"},
}


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    return names_file(tmp_path, NAMES)


def indexed(dictionary: Path, text: str, *languages: str, **fields: Any) -> str:
    document = Document(doc_id="d", text=text, **fields)
    [made] = CodeSwitchTransform(dictionary=str(dictionary), languages=languages).transform([document])
    assert (made.doc_id, made.text, made.title, made.full_text) == ("d", text, document.title, document.full_text)
    return made.index_text


def test_names_follow_the_text_as_often_as_they_stand_in_it(dictionary: Path) -> None:
    """Worked by hand: the title is read too, the longest name wins, and no name stands inside another."""
    assert indexed(dictionary, "Ein Haus am FLUSS, das Haus.", "en") == "Ein Haus am FLUSS, das Haus. house river house"
    assert indexed(dictionary, "Ein altes Haus", "en", title="Fluss") == "Fluss Ein altes Haus river old house"
    assert indexed(dictionary, "Haus am Fluss", "fr", "en") == "Haus am Fluss maison house river"


def test_what_is_spelt_alike_or_not_known_adds_nothing(dictionary: Path) -> None:
    for text in ("berlin", "Hausboot", ""):
        document = Document(doc_id="d", text=text)
        assert CodeSwitchTransform(dictionary=str(dictionary), languages=("en",)).transform([document]) == [document]


def test_what_another_transform_wrote_is_kept(dictionary: Path) -> None:
    assert indexed(dictionary, "x", "en", metadata={"index_text": "Zeile Haus"}) == "Zeile Haus house"


def test_a_dictionary_without_those_languages_is_refused_with_what_it_has(dictionary: Path) -> None:
    with pytest.raises(
        SpecError, match=r"no name in es; it has en, fr, pl\. It must lead from the documents' language"
    ):
        indexed(dictionary, "Haus", "es")
    with pytest.raises(ValueError, match="must name at least one language"):
        CodeSwitchTransform(dictionary=str(dictionary), languages=())
    with pytest.raises(SpecError, match="there is no dictionary"):
        CodeSwitchTransform(dictionary=str(dictionary.with_name("none.json")), languages=("en",))


def test_an_english_question_finds_a_german_text_and_an_edited_dictionary_indexes_anew(
    dictionary: Path, tmp_path: Path
) -> None:
    source = tmp_path / "texts"
    source.mkdir()
    (source / "a.md").write_text("Ein Haus am Wald.", encoding="utf-8")
    (source / "b.md").write_text("Ein Boot am See.", encoding="utf-8")
    switch = {"use": "code_switch", "with": {"dictionary": str(dictionary), "languages": ["en"]}}
    graph = {
        "version": 1,
        "index": {"transforms": [switch]},
        "nodes": {"found": {"use": "retrieve.bm25", "k": 5, "with": {"near": False}}},  # Boot is a letter from boat
        "output": "found",
    }

    def found(text: str) -> list[str]:
        built = build_index([source], tmp_path / "idx", settings=load_spec(graph).graph.index, legs=["lexical"])
        unchanged.append(built.unchanged)
        with load_pipeline(graph, index=str(tmp_path / "idx")) as pipeline:
            [ranking] = pipeline.search_batch([Query(qid="q", text=text)], k=5)
        return [hit.document.text for hit in ranking.hits]

    unchanged: list[bool] = []
    assert found("house") == ["Ein Haus am Wald."]
    assert found("boat") == []
    names_file(tmp_path, {**NAMES, "Boot": {"en": "boat"}})
    assert found("boat") == ["Ein Boot am See."]
    assert unchanged == [False, True, False]
