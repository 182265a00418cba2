"""Parts of identifiers in what legs index."""

from __future__ import annotations

import pytest

from rag.core.types import Document
from ragline_recipes.identifiers import IdentifierTransform, parts


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("getUserName", ["get", "User", "Name"]),
        ("get_user_name", ["get", "user", "name"]),
        ("HTTPResponse", ["HTTP", "Response"]),
        ("parseHTTP2Response", ["parse", "HTTP", "2", "Response"]),
        ("MAX_RETRIES", ["MAX", "RETRIES"]),
        ("_größe_über", ["größe", "über"]),
        ("__init__", []),
        ("plain", []),
        ("Title", []),
        ("NASA", []),
        ("PDFs", []),
        ("Übergröße", []),
        ("covid19", []),
        ("北京", []),
        ("_", []),
    ],
)
def test_identifiers_of_several_words_are_split_and_prose_is_not(word: str, expected: list[str]) -> None:
    assert parts(word) == expected


def test_parts_go_into_the_index_text_alone() -> None:
    document = Document(doc_id="d", title="utils", text="def getUserName(): pass", metadata={"path": "a.py"})
    (made,) = IdentifierTransform().transform([document])
    assert made.index_text == "utils def getUserName(): pass get User Name"
    assert (made.text, made.title, made.full_text) == (document.text, document.title, document.full_text)
    assert made.metadata["path"] == "a.py"
    assert "index_text" not in document.metadata


def test_each_identifier_adds_its_parts_once() -> None:
    (made,) = IdentifierTransform().transform([Document(doc_id="d", text="getName(getName, setName)")])
    assert made.index_text.removeprefix("getName(getName, setName) ") == "get Name set Name"


def test_what_another_transform_wrote_is_kept() -> None:
    document = Document(doc_id="d", text="x", metadata={"index_text": "summary of fooBar"})
    (made,) = IdentifierTransform().transform([document])
    assert made.index_text == "summary of fooBar foo Bar"


def test_documents_without_identifiers_pass_as_they_are() -> None:
    document = Document(doc_id="d", text="Only prose, of 2 sentences. NASA too.")
    assert IdentifierTransform().transform([document]) == [document]
    assert "index_text" not in IdentifierTransform().transform([document])[0].metadata
    assert IdentifierTransform().transform([]) == []
