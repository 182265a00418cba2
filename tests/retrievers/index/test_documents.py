from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import IndexProblem
from rag.core.types import Document
from retrievers.index import documents as stored
from retrievers.index.documents import KEYS, LINES, OFFSETS, ROWS, Documents
from retrievers.index.writer import DocumentsWriter, first_duplicate


def write(folder: Path, documents: Sequence[Document]) -> Documents:
    with DocumentsWriter(folder) as writer:
        for document in documents:
            writer.add(document)
    return Documents(folder)


def test_documents_come_back_by_row_and_by_id(tmp_path: Path, documents: tuple[Document, ...]) -> None:
    index = write(tmp_path, documents)
    assert len(index) == len(documents)
    assert list(index) == list(documents)
    assert [index.row(document.doc_id) for document in documents] == list(range(len(documents)))
    assert index.many([3, 0, 3]) == [documents[3], documents[0], documents[3]]
    assert index[-1] == documents[-1]
    assert index[2:5] == list(documents[2:5])


def test_an_unknown_id_or_row_is_said_so(tmp_path: Path, documents: tuple[Document, ...]) -> None:
    index = write(tmp_path, documents)
    for doc_id in ("nothing", "\ud800", ""):
        with pytest.raises(KeyError):
            index.row(doc_id)
    with pytest.raises(IndexError, match="row 12 of an index with 12 rows"):
        index[12]


def test_ids_that_share_a_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "key_of", lambda doc_id: len(doc_id))
    monkeypatch.setattr("retrievers.index.writer.key_of", lambda doc_id: len(doc_id))
    index = write(tmp_path, [Document(doc_id=name, text="") for name in ("bb", "aa", "c", "cc")])
    assert [index.row(name) for name in ("aa", "bb", "c", "cc")] == [1, 0, 2, 3]
    with pytest.raises(KeyError):
        index.row("dd")
    assert first_duplicate(tmp_path, index) is None


def test_what_legs_index_is_what_a_transform_wrote_or_the_full_text(tmp_path: Path) -> None:
    plain = Document(doc_id="a", title="T", text="x")
    changed = Document(doc_id="b", text="x", metadata={"index_text": "x expanded"})
    texts = write(tmp_path, [plain, changed]).index_texts
    assert (len(texts), list(texts), texts[1], texts[0:2]) == (
        2,
        ["T x", "x expanded"],
        "x expanded",
        ["T x", "x expanded"],
    )


@given(
    st.lists(
        st.builds(
            Document,
            doc_id=st.text(max_size=9),
            title=st.text(max_size=9),
            text=st.text(),
            metadata=st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.integers() | st.booleans()),
        ),
        min_size=1,
        max_size=9,
        unique_by=lambda document: document.doc_id,
    )
)
def test_any_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, documents: list[Document]) -> None:
    index = write(tmp_path_factory.mktemp("documents"), documents)
    assert list(index) == documents
    assert [index.row(document.doc_id) for document in documents] == list(range(len(documents)))


def test_lone_surrogates_become_replacement_characters(tmp_path: Path) -> None:
    index = write(tmp_path, [Document(doc_id="a\ud800", text="\udfff and \ud83d\ude00", title="é")])
    assert (index[0].doc_id, index[0].text, index[0].title) == ("a\ufffd", "\ufffd and 😀", "é")
    assert index.row("a\ufffd") == 0


def test_metadata_that_json_does_not_know_becomes_text(tmp_path: Path) -> None:
    index = write(tmp_path, [Document(doc_id="a", text="", metadata={"where": Path("x/y"), "n": 1})])
    assert index[0].metadata == {"where": "x/y", "n": 1}


def test_documents_taken_back_are_gone(tmp_path: Path) -> None:
    with DocumentsWriter(tmp_path) as writer:
        writer.add(Document(doc_id="a", text="kept"))
        writer.add(Document(doc_id="b", text="taken back" * 1000))
        writer.cut(1)
        writer.add(Document(doc_id="c", text="next"))
    index = Documents(tmp_path)
    assert [document.doc_id for document in index] == ["a", "c"]
    assert (index.row("c"), (tmp_path / LINES).read_bytes().count(b"\n")) == (1, 2)


def test_two_documents_with_one_id_are_found(tmp_path: Path) -> None:
    index = write(tmp_path, [Document(doc_id=name, text=name) for name in ("x", "a", "b", "a", "c")])
    assert first_duplicate(tmp_path, index) == (1, 3)


@pytest.mark.parametrize("name", [LINES, OFFSETS, KEYS, ROWS])
@pytest.mark.parametrize("damage", ["cut", "gone", "empty", "garbage"])
def test_damaged_files_are_an_index_problem(
    tmp_path: Path, documents: tuple[Document, ...], name: str, damage: str
) -> None:
    write(tmp_path, documents)
    file = tmp_path / name
    if damage == "gone":
        file.unlink()
    else:
        whole = file.read_bytes()
        file.write_bytes({"cut": whole[:-9], "empty": b"", "garbage": b"\x80\x04}q\x00." * 99}[damage])
    with pytest.raises(IndexProblem, match="Build the index again"):
        Documents(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        b'{"doc_id": "a"}\n',
        b"[" * 5000 + b"\n",
        b"\xff\n",
        b'{"doc_id":1,"text":""}\n',
        b'{"doc_id":"a"}\n',
        b'{"doc_id":"a","text":3}\n',
        b'{"doc_id":"a","text":"","metadata":3}\n',
        b'{"doc_id":"a","text":"","author":"b"}\n',
    ],
)
def test_a_line_that_is_no_document_is_an_index_problem(tmp_path: Path, line: bytes) -> None:
    with DocumentsWriter(tmp_path) as writer:
        writer.copy("a", line)
    with pytest.raises(IndexProblem, match="row 0 is no document"):
        Documents(tmp_path)[0].text  # noqa: B018 - it is read when it is looked at


def test_offsets_that_run_backwards_are_refused(tmp_path: Path, documents: tuple[Document, ...]) -> None:
    write(tmp_path, documents)
    offsets = np.load(tmp_path / OFFSETS)
    offsets[3], offsets[4] = offsets[4], offsets[3]
    np.save(tmp_path / OFFSETS, offsets)
    with pytest.raises(IndexProblem, match="do not fit together"):
        Documents(tmp_path)


def test_a_pass_over_all_documents_lets_go_of_what_it_passed(tmp_path: Path) -> None:
    """Of a map all pages that were read count as memory of the process."""
    with DocumentsWriter(tmp_path) as writer:
        for number in range(400):
            writer.add(Document(doc_id=str(number), text="x" * 100_000))
    documents = Documents(tmp_path)
    before = _mapped_bytes()
    assert [int(document.doc_id) for document in documents] == list(range(400))
    assert _mapped_bytes() - before < 20e6  # of 40e6
    assert [len(documents[row].text) for row in (0, 200, 399)] == [100_000] * 3


def _mapped_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssFile:")[1].split()[0])
