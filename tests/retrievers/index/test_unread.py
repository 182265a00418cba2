"""A document that is read when it is looked at is the document that it stands for."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import IndexProblem
from rag.core.types import Document
from retrievers.index.documents import LINES, Documents
from retrievers.index.writer import DocumentsWriter

WHOLE = Document(doc_id="a", text="one", title="two", metadata={"three": 3})


class Counting(Documents):
    """Notes which rows were read."""

    read: list[int]

    def fields(self, line: bytes, row: int) -> dict[str, Any]:
        self.read.append(row)
        return super().fields(line, row)


@pytest.fixture
def stored(tmp_path: Path) -> Counting:
    with DocumentsWriter(tmp_path) as writer:
        writer.add(Document(doc_id="z", text="another"))
        writer.add(WHOLE)
    documents = Counting(tmp_path)
    documents.read = []
    return documents


def test_it_is_read_once_and_only_for_what_is_not_its_id(stored: Counting) -> None:
    document = stored.at(1)
    assert document.doc_id == "a"
    assert not stored.read
    assert (document.text, document.title, document.metadata, document.contents) == ("one", "two", {"three": 3}, ())
    assert document.full_text == "two one"
    assert stored.read == [1]
    assert type(document) is Document


def test_whatever_is_done_with_it_is_done_with_the_whole(stored: Counting) -> None:
    def waiting() -> Document:
        return stored.at(1)

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


def test_what_reading_raises_is_raised_each_time(stored: Counting, tmp_path: Path) -> None:
    lines = (tmp_path / LINES).read_bytes()
    (tmp_path / LINES).write_bytes(lines.replace(b'"two"', b'"two,'))
    document = Documents(tmp_path).at(1)
    for _ in range(2):
        with pytest.raises(IndexProblem, match="row 1"):
            document.text  # noqa: B018
    assert document.doc_id == "a"
