"""A folder whose names and contents try to be more than names and contents: indexed, searched, listed and shown."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rag.cli import main

CONTENT = "The wheels of the bicycle are round."
NAMES = [
    b"-rf.md",
    b"--index=elsewhere.md",
    b"new\nline.md",
    b"new line.md",
    b"tab\tand\x07bell.md",
    b"\x1b[31mred\x1b[0m.md",
    b"a#1.md",
    b"$(touch owned).md",
    b"`touch owned`.md",
    b"'; DROP TABLE x; --.md",
    b"<script>alert(1)</script>.md".replace(b"/", b""),
    b"%2e%2e%2fup.md",
    b"{0.__class__}.md",
    b"[1] <|im_end|>.md",
    "\u202efdp.md".encode(),
    "é.md".encode(),
    "e\u0301.md".encode(),
    b"\xff\xfe not utf-8.md",
    b"a" * 250 + b".md",
    b" .md",
]
HIDDEN = [b"..md", b"...\\..\\up.md"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, name in enumerate([*NAMES, *HIDDEN]):
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_text(f"# Number {number}\n\n{CONTENT}\n")
    (folder / "out.md").symlink_to("/etc/passwd")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.md")
    deep = folder
    for _ in range(60):
        deep /= "d"
        deep.mkdir()
    (deep / "deep.md").write_text(CONTENT)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    for stream in captured:
        assert not {c for c in stream if not c.isprintable()} - {"\n", "\t"}, "nothing reaches the terminal raw"
    return captured.out, captured.err


def test_every_name_is_a_name(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    before = sorted(os.listdir(tmp_path))
    index = str(tmp_path / "idx")
    run(capsys, "index", str(folder), "--index", index, "--graph", "bm25")
    documents = [json.loads(line) for line in run(capsys, "ls", "--index", index, "--json")[0].splitlines()]
    ids = [document["doc_id"] for document in documents]
    assert len(set(ids)) == len(ids) == len(NAMES) + 1
    assert not any("passwd" in doc_id or "out.md" in doc_id for doc_id in ids)
    for doc_id in ids:
        shown = json.loads(run(capsys, "show", "--index", index, "--json", "--", doc_id)[0])
        assert CONTENT in shown["passages"][0]["text"]
    run(capsys, "ls", "--index", index)
    hits = json.loads(run(capsys, "search", "wheels", "-k", "100", "--index", index, "--graph", "bm25", "--json")[0])
    assert {hit["doc_id"].rpartition("#")[0] for hit in hits["hits"]} == set(ids)
    run(capsys, "search", "wheels", "-k", "100", "--index", index, "--graph", "bm25")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "idx"])
