"""`rag add`: JSON lines from files and from standard input become documents, or replace them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from rag.cli import main
from retrievers.index.directory import LocalIndex


def lines(path: Path, **texts: str) -> str:
    path.write_text("".join(json.dumps({"id": doc_id, "text": text}) + "\n" for doc_id, text in texts.items()))
    return str(path)


def said(raw: bytes) -> io.TextIOWrapper:
    """Standard input that is read as another machine's locale would, not as UTF-8."""
    return io.TextIOWrapper(io.BytesIO(raw), encoding="latin-1")


def texts(index: Path) -> dict[str, str]:
    with LocalIndex.open(index) as opened:
        return {opened.documents[row].doc_id: opened.documents[row].text for row in range(len(opened))}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_text("a note on leave")
    place = tmp_path / "idx"
    assert main(["index", str(tmp_path / "notes.txt"), "--index", str(place), "--graph", "bm25"]) == 0
    return place


def test_documents_come_and_are_replaced(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", lines(tmp_path / "a.jsonl", a="apples", b="plums"), "--index", str(index)]) == 0
    assert "3 passages of 3 documents" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", said(b'{"id": "b", "text": "cherries"}\n\n'))
    assert main(["add", "-", "--update", "--index", str(index), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_documents"] == 3
    assert texts(index) == {"notes.txt#1": "a note on leave", "a": "apples", "b": "cherries"}
    assert main(["search", "cherries", "--index", str(index), "--graph", "bm25", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"][0]["doc_id"] == "b"
    assert main(["remove", "a", "--index", str(index)]) == 0
    assert "1 document gone from the index" in capsys.readouterr().out
    assert texts(index) == {"notes.txt#1": "a note on leave", "b": "cherries"}


@pytest.mark.parametrize(
    ("line", "options", "says"),
    [
        (b"{", [], "standard input:1: not JSON"),
        (b"[1]", [], "standard input:1: a JSON object is wanted, not list"),
        (b'{"id": "a", "text": "caf\xe9"}', [], "standard input:1: not UTF-8"),
        (b'{"id": "notes.txt", "text": "x"}', [], "update_documents"),
        (b'{"id": "nobody", "text": "x"}', ["--update"], "nobody"),
        (b'{"id": "a", "text": ""}', [], "nothing to index"),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    index: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: bytes,
    options: list[str],
    says: str,
) -> None:
    monkeypatch.setattr("sys.stdin", said(line))
    assert main(["add", "-", "--index", str(index), *options]) != 0
    assert says in capsys.readouterr().err
    assert texts(index) == {"notes.txt#1": "a note on leave"}
