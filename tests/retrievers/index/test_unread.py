"""A document that is read when it is looked at is the document that it stands for."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from rag.core.types import Document
from retrievers.index.documents import unread

WHOLE = Document(doc_id="a", text="one", title="two", metadata={"three": 3})


def waiting(read: list[int] | None = None) -> Document:
    def whole(line: bytes, row: int) -> Document:
        if read is not None:
            read.append(row)
        assert line == b"line"
        return WHOLE

    return unread("a", whole, b"line", 7)


def test_it_is_read_once_and_only_for_what_is_not_its_id() -> None:
    read: list[int] = []
    document = waiting(read)
    assert document.doc_id == "a"
    assert not read
    assert (document.text, document.title, document.metadata, document.contents) == ("one", "two", {"three": 3}, ())
    assert document.full_text == "two one"
    assert read == [7]
    assert type(document) is Document


def test_whatever_is_done_with_it_is_done_with_the_whole() -> None:
    assert waiting() == WHOLE
    assert waiting() == WHOLE
    assert waiting() == waiting()
    assert waiting() != dataclasses.replace(WHOLE, text="other")
    assert waiting() != 1
    assert hash(waiting()) == hash(WHOLE)
    assert repr(waiting()) == repr(WHOLE)
    for same in (pickle.loads(pickle.dumps(waiting())), copy.copy(waiting()), copy.deepcopy(waiting())):
        assert same == WHOLE
        assert type(same) is Document
    for changed in (dataclasses.replace(waiting(), text="x"), dataclasses.replace(waiting(), doc_id="b")):
        assert changed.title == "two"
        assert type(changed) is Document
    with pytest.raises(AttributeError, match="colour"):
        waiting().colour  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(dataclasses.FrozenInstanceError):
        waiting().text = "x"  # type: ignore[misc]


def test_what_reading_raises_is_raised_each_time() -> None:
    def broken(line: bytes, row: int) -> Document:
        raise ValueError(f"row {row}")

    document = unread("a", broken, b"", 3)
    for _ in range(2):
        with pytest.raises(ValueError, match="row 3"):
            document.text  # noqa: B018
    assert document.doc_id == "a"
