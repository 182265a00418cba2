"""Bytes of contents beside documents: once, by their digest, with the rows that hold them, and gone with these."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from rag.core.contents import Content
from rag.core.errors import IndexProblem
from rag.core.types import Document
from retrievers.index.contents import BYTES, NONE, Contents, JoinedContents, contents_of
from retrievers.index.documents import Documents
from retrievers.index.writer import DocumentsWriter


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def holding(doc_id: str, *held: bytes) -> Document:
    contents = tuple(Content(kind="picture", uri=f"sha256:{digest(each)}", sha256=digest(each)) for each in held)
    return Document(doc_id=doc_id, text="", contents=contents)


def write(folder: Path, *rows: tuple[bytes, ...]) -> Path:
    folder.mkdir()
    with DocumentsWriter(folder) as writer:
        for number, held in enumerate(rows):
            for each in held:
                writer.keep(digest(each), each, b"small " + each)
            writer.add(holding(f"d{number}", *held))
    return folder


def test_bytes_are_kept_once_with_all_rows_that_hold_them(tmp_path: Path) -> None:
    store = Contents(write(tmp_path / "a", (b"one", b"two"), (), (b"one",)))
    assert sorted(store) == sorted([digest(b"one"), digest(b"two")])
    assert (store.read(digest(b"one")), store.thumbnail(digest(b"one"))) == (b"one", b"small one")
    assert (store.rows(digest(b"one")), store.rows(digest(b"two")), store.rows(digest(b"x"))) == ([0, 2], [0], [])
    assert (tmp_path / "a" / BYTES).read_bytes() == b"onesmall onetwosmall two"
    assert digest(b"one") in store
    for strange in (digest(b"x"), "", "zz", "ab", digest(b"one").upper() + "0"):
        assert strange not in store
        with pytest.raises(KeyError):
            store.read(strange)


def test_very_many_are_found_by_their_digests(tmp_path: Path) -> None:
    store = Contents(write(tmp_path / "a", *((str(number).encode(),) for number in range(300))))
    for number in range(300):
        assert store.read(digest(str(number).encode())) == str(number).encode()
        assert store.rows(digest(str(number).encode())) == [number]


def test_nothing_is_written_where_nothing_is_kept(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", (), ())
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        f"documents.{end}" for end in ("jsonl", "offsets.npy", "keys.npy", "rows.npy")
    )
    assert [*Contents.of(folder)] == [*NONE] == [*contents_of(object())] == []


def test_what_a_file_gave_that_failed_half_way_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    with DocumentsWriter(folder) as writer:
        writer.keep(digest(b"one"), b"one", b"")
        writer.add(holding("d0", b"one"))
        writer.keep(digest(b"two"), b"two", b"")
        writer.add(holding("d1", b"one", b"two"))
        writer.keep(digest(b"three"), b"three", b"")
        writer.cut(1)
        writer.keep(digest(b"two"), b"two", b"")
        writer.add(holding("d2", b"two"))
    store = Contents(folder)
    assert (folder / BYTES).read_bytes() == b"onetwo"
    assert (store.rows(digest(b"one")), store.rows(digest(b"two")), digest(b"three") in store) == ([0], [1], False)


def test_bytes_that_changed_are_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", (b"one",))
    (folder / BYTES).write_bytes(b"eno" + (folder / BYTES).read_bytes()[3:])
    with pytest.raises(IndexProblem, match="is not as it was written"):
        Contents(folder).read(digest(b"one"))


def test_a_copy_takes_what_its_documents_hold(tmp_path: Path) -> None:
    before = write(tmp_path / "a", (b"one",), (b"two",), (b"one", b"three"))
    documents, store = Documents(before), Contents(before)
    (tmp_path / "b").mkdir()
    with DocumentsWriter(tmp_path / "b") as writer:
        for row in (1, 2):
            writer.copy(documents[row].doc_id, documents.line(row), store)
    copied = Contents(tmp_path / "b")
    assert {each: copied.rows(each) for each in copied} == {
        digest(b"two"): [0],
        digest(b"one"): [1],
        digest(b"three"): [1],
    }
    assert copied.thumbnail(digest(b"three")) == b"small three"


def test_several_are_one_and_rows_that_are_gone_hold_nothing(tmp_path: Path) -> None:
    first, second = Contents(write(tmp_path / "a", (b"one",), (b"two",))), Contents(write(tmp_path / "b", (b"two",)))
    starts, gone = (0, 2), np.array([[0, -1], [2, -1]])
    joined = JoinedContents([first, second], lambda part, row: starts[part] + row)
    assert (joined.rows(digest(b"two")), joined.read(digest(b"two"))) == ([1, 2], b"two")
    assert sorted(joined) == sorted({digest(b"one"), digest(b"two")})
    left = JoinedContents([first, second], lambda part, row: int(gone[part][row]))
    assert (left.rows(digest(b"one")), left.rows(digest(b"two"))) == ([0], [2])
    with pytest.raises(KeyError):
        joined.read(digest(b"three"))
