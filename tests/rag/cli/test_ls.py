"""A file of many documents is one line of `rag ls`, and whoever asks for the file has them all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.cli import main

Listed = Callable[..., list[str]]


@pytest.fixture
def ls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Listed:
    """Lists an index of two tables, a mailbox, a corpus and a page of text."""
    folder = tmp_path / "src"
    (folder / "beir").mkdir(parents=True)
    (folder / "a.md").write_text("A wheel.")
    (folder / "orders.csv").write_text("id,city\n" + "".join(f"{n},Berlin\n" for n in range(1_200)))
    (folder / "team.mbox").write_text("From x\nSubject: One\n\n1\n\nFrom x\nSubject: Two\n\n2\n")
    (folder / "one.csv").write_text("id,city\n7,Rome\n")
    records = (json.dumps({"_id": doc_id, "title": "T", "text": "x"}) for doc_id in ("d1", "d2"))
    (folder / "beir" / "corpus.jsonl").write_text("\n".join(records))
    assert main(["index", str(folder), "--index", str(tmp_path / "idx"), "--graph", "bm25"]) == 0
    capsys.readouterr()

    def run(*arguments: str) -> list[str]:
        assert main(["ls", *arguments, "--index", str(tmp_path / "idx")]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_rows_and_mails_are_one_line_for_their_file_and_records_of_a_corpus_are_not(ls: Listed) -> None:
    assert ls() == [
        "src/a.md  a  (1 passage)",
        "d1  T  (1 passage)",
        "d2  T  (1 passage)",
        "src/one.csv:7  one  (1 passage)",
        "src/orders.csv  1,200 documents  (1,200 passages; rag ls 'src/orders.csv' lists them)",
        "src/team.mbox  2 documents  (2 passages; rag ls 'src/team.mbox' lists them)",
    ]


def test_whoever_names_the_file_has_its_documents(ls: Listed) -> None:
    assert len(ls("src/orders.csv")) == 1_200
    assert ls("src/orders.csv:7", "--limit", "2") == [
        "src/orders.csv:7  orders  (1 passage)",
        "src/orders.csv:70  orders  (1 passage)",
    ]
    assert ls("src/o") == [
        "src/one.csv:7  one  (1 passage)",
        "src/orders.csv  1,200 documents  (1,200 passages; rag ls 'src/orders.csv' lists them)",
    ]


def test_json_has_every_document(ls: Listed) -> None:
    rows = [json.loads(line) for line in ls("--json")]
    assert len(rows) == 1 + 2 + 1 + 1_200 + 2
    assert rows[4] == {"doc_id": "src/orders.csv:0", "title": "orders", "passages": 1}
