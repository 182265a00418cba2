"""The first sentence of a document in what legs index of its chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rag.core.types import Document
from rag.indexing import build_index
from rag.ingest.settings import ChunkSettings
from rag.stages.transform.context import ContextTransform
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings


def of(number: int, text: str, *, parent: str = "bike.md", title: str = "Bike › Frame") -> Document:
    metadata = {"parent": parent, "start": (number - 1) * 100, "headings": title.split(" › ")}
    return Document(doc_id=f"{parent}#{number}", text=text, title=title, metadata=metadata)


FIRST = of(1, "Bike\n\nFrame\n\nA bicycle for children,\nmade of steel. It is red.")


def test_the_first_sentence_stands_between_title_and_text_of_later_chunks() -> None:
    second = of(2, "It lasts.")
    made = ContextTransform().transform([FIRST, second])
    assert made[0] is FIRST
    assert made[1].index_text == "Bike › Frame A bicycle for children, made of steel. It lasts."
    assert (made[1].text, made[1].full_text) == (second.text, second.full_text)


def test_a_document_may_come_over_several_calls_and_no_other_gets_its_sentence() -> None:
    transform = ContextTransform(max_words=2)
    transform.transform([FIRST])
    [second, stray] = transform.transform([of(2, "It lasts."), of(2, "Bells ring.", parent="bell.md")])
    assert second.index_text == "Bike › Frame A bicycle It lasts."
    assert stray.index_text == stray.full_text


def test_whole_documents_and_documents_of_headings_alone_stay() -> None:
    whole = Document(doc_id="w", text="One. Two.")
    bare, later = of(1, "Bike\n\nFrame"), of(2, "Later.")
    assert ContextTransform().transform([whole, bare, later]) == [whole, bare, later]


def test_it_goes_with_what_another_transform_wrote() -> None:
    second = of(2, "getName")
    second = replace(second, metadata={**second.metadata, "index_text": "Bike › Frame getName get Name"})
    [_, made] = ContextTransform().transform([FIRST, second])
    assert made.index_text == "Bike › Frame A bicycle for children, made of steel. getName get Name"


def test_max_words_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_words"):
        ContextTransform(max_words=0)


def test_a_chunk_is_found_by_the_sentence_and_shown_without_it(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    filler = " ".join(f"Word number {i} of this page follows." for i in range(60))
    (texts / "page.md").write_text(f"# Page\n\nVelocipedes are explained.\n\n{filler}\n")
    settings = IndexSettings.model_validate({"transforms": [{"use": "context"}], "chunking": ChunkSettings(tokens=40)})
    build_index([texts], tmp_path / "idx", settings=settings, legs=("lexical",))
    with LocalIndex.open(tmp_path / "idx") as index:
        assert len(index) > 3
        assert all("Velocipedes are explained." in document.index_text for document in index.documents)
        assert sum("Velocipedes" in document.text for document in index.documents) == 1
