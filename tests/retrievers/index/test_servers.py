"""A server of one's own is one class and one line: indexes are built, opened, brought up to date and refused there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar

import pytest

import rag
from rag.cli import main
from rag.core.errors import IndexProblem
from rag.core.progress import Progress
from rag.indexing import index_exists
from retrievers.index import SERVERS
from retrievers.index.built import BuiltIndex, IndexServer, IndexWriter
from retrievers.index.directory import LocalIndex
from retrievers.index.opening import asks_a_server, open_index
from retrievers.index.settings import IndexSettings


class Shelf(IndexServer):
    """Keeps each index in a folder of its own."""

    folder: ClassVar[Path]

    def open(self, address: str) -> LocalIndex:
        return LocalIndex.open(self.folder / address.rpartition("/")[2])

    def writing(self, address: str, *, drafts: Path) -> AbstractContextManager[IndexWriter]:
        name = address.rpartition("/")[2]
        return nullcontext(ShelfWriter(address, self.folder / name, drafts / name))


class ShelfWriter(IndexWriter):
    """Writes beside, then puts the whole in its place."""

    def __init__(self, address: str, place: Path, draft: Path) -> None:
        self._address, self._place, self._draft = address, place, draft

    @property
    def home(self) -> Path:
        return self._draft

    @property
    def address(self) -> str:
        return self._address

    @property
    def exists(self) -> bool:
        return self._place.exists()

    def before(self) -> BuiltIndex | None:
        return LocalIndex.open(self._place) if self.exists else None

    def require(self, settings: IndexSettings, legs: Sequence[str]) -> None:
        if "dense" in legs:
            raise IndexProblem("a shelf has no room for vectors")

    def publish(self, *, progress: Progress) -> None:
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.move(self._draft, self._place)


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(SERVERS, "_table", dict(SERVERS._table))  # what is added here is gone afterwards
    SERVERS.add("shelf", Shelf)
    Shelf.folder = tmp_path / "shelf"
    Shelf.folder.mkdir()
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.md").write_text("Thirty days of paid leave.")
    return folder


def test_an_index_is_built_searched_and_brought_up_to_date_there(texts: Path, tmp_path: Path) -> None:
    assert not index_exists("shelf://1/notes")
    rag.build_index(texts, "shelf://1/notes", legs=("lexical",))
    assert [each.name for each in tmp_path.joinpath("cache", "drafts").iterdir()] == []
    with rag.load_pipeline("bm25", index="shelf://1/notes") as pipeline:
        assert [hit.doc_id for hit in pipeline.search("paid leave").hits] == ["texts/a.md#1"]
    (texts / "b.md").write_text("A lost laptop.")
    assert rag.build_index(texts, "shelf://1/notes").n_units == 2
    rag.remove_from_index(["texts/a.md"], "shelf://1/notes")
    with open_index("shelf://1/notes") as index:
        assert [document.doc_id for document in index.documents] == ["texts/b.md#1"]
    assert [holding.source.root for holding in rag.index_sources("shelf://1/notes")] == [str(texts)]
    with pytest.raises(IndexProblem, match="a shelf has no room for vectors"):
        rag.build_index(texts, "shelf://1/other", legs=("dense",))
    with pytest.raises(IndexProblem, match="this is done to an index in a directory alone"):
        rag.add_documents(["a text"], "shelf://1/notes")


def test_a_check_asks_a_server_only_where_it_is_told_to(
    texts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asks_a_server("shelf://1/notes")
    assert asks_a_server("joined://notes|shelf://1/notes")
    assert main(["check", "bm25", "--index", "shelf://1/nothing"]) == 0
    assert "is on a server, which is not asked. --connect asks it" in capsys.readouterr().err
    assert main(["check", "bm25", "--index", "shelf://1/nothing", "--connect"]) == 4
    monkeypatch.setattr(Shelf, "embedded", True)
    assert not asks_a_server("shelf://1/notes")


def test_a_scheme_that_nobody_serves_is_named_with_those_there_are(texts: Path) -> None:
    with pytest.raises(
        IndexProblem, match=r"no kind of index 'shelv'\. Did you mean 'shelf'\?.*joined.*Give a directory"
    ):
        open_index("shelv://1/notes")
    with pytest.raises(IndexProblem, match=r"index 'shelv://1/notes': an index of this kind is not built.*shelf://"):
        rag.build_index(texts, "shelv://1/notes")
