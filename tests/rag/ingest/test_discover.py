"""Which files are found, under which names, and what is told of the rest."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.ingest import Discovery, discover

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes files below a folder of the test's own; a dict value is its text."""

    def make(folder: str, *names: str, **texts: str) -> Path:
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts.get("text", "words"))
        return tmp_path / folder

    return make


def _names(found: Discovery) -> list[str]:
    return [file.name for file in found.files]


def test_files_are_named_by_their_path_and_sorted(tree: Tree) -> None:
    root = tree("src", "b.md", "a/z.txt", "a/b/c.py", "Z.html")
    found = discover(root)
    assert _names(found) == ["Z.html", "a/b/c.py", "a/z.txt", "b.md"]
    assert {file.layout for file in found.files} == {"file"}
    assert found.files[0].size == len("words")
    assert found.problems == ()


def test_hidden_and_generated_folders_are_passed_over(tree: Tree) -> None:
    root = tree(
        "src", "a.md", ".git/b.md", ".hidden.md", "node_modules/c.js", "x/__pycache__/d.py", ".venv/e.py", "~$a.docx"
    )
    tree("src/myenv", "pyvenv.cfg", "lib/site.py")
    assert _names(discover(root)) == ["a.md"]


def test_a_hidden_folder_given_as_a_source_is_read(tree: Tree) -> None:
    assert _names(discover(tree(".notes", "a.md"))) == ["a.md"]


def test_files_that_nothing_reads_are_listed(tree: Tree) -> None:
    found = discover(tree("src", "a.md", "logo.png", "x/b.7z"))
    assert _names(found) == ["a.md"]
    assert found.ignored == ("logo.png", "x/b.7z")
    assert found.problems == ()


def test_text_whose_ending_is_none_is_read(tmp_path: Path) -> None:
    read = {
        "Artistic": b"The Artistic License\n\x0cPage 2\r\n",
        "Apache-2.0": "Für alle.".encode(),
        "HOWTOPLAY.de": "Für alle.".encode(),
        "README.Debian": b"words",
        "GPL-3": b"a" * 65_535 + "ü".encode() + b"\xff",  # cut within a letter, and looked at no further
        "UPGRADE.gz": gzip.compress(b"words"),
        "sa-learn.1p.gz": gzip.compress(b".TH words"),
    }
    ignored = {
        "Latin": "Für alle.".encode("latin-1"),
        "Picture": b"P6 3 2\n\x00\xff",
        "Terminal": b"\x1b[31mred",
        "Inbox": b"From ann@example.org Mon Jan  1\nSubject: Leave\n\nIt is paid.\n",
        "README.7z": b"7z\xbc\xaf\x27\x1c",
        "libtext.so.3": b"words",
        "empty": b"",
        "notes.2nd": b"words",
        "Packed.gz": gzip.compress("Für alle.".encode("latin-1")),
        "Broken.gz": b"\x1f\x8bwords",
        "cut.gz": gzip.compress(b"words")[:-9],
        "words.gz": b"words",
        "notes.xls": b"words",
    }
    for name, data in {**read, **ignored}.items():
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe")
    found = discover(tmp_path)
    assert _names(found) == sorted(read)
    assert found.ignored == tuple(sorted([*ignored, "pipe"]))


def test_a_file_given_by_name_is_taken_whatever_its_suffix(tree: Tree) -> None:
    root = tree("src", "LICENSE")
    assert _names(discover(root / "LICENSE")) == ["LICENSE"]


def test_a_source_that_is_missing_is_told_and_not_the_end(tree: Tree, tmp_path: Path) -> None:
    assert discover(tmp_path / "nowhere") == Discovery(missing="no such file or folder")


def test_links_are_not_followed_and_those_that_lead_out_are_told(tree: Tree, tmp_path: Path) -> None:
    root = tree("src", "a.md", "x/b.md")
    outside = tree("outside", "secret.md")
    (root / "same.md").symlink_to(root / "a.md")
    (root / "out").symlink_to(outside)
    (root / "out.md").symlink_to(outside / "secret.md")
    (root / "gone.md").symlink_to(tmp_path / "gone")
    (root / "self.md").symlink_to(root / "self.md")
    (root / "x" / "up").symlink_to(root)
    found = discover(root)
    assert _names(found) == ["a.md", "x/b.md"]
    reasons = {problem.name: problem.reason for problem in found.problems}
    assert set(reasons) == {"out", "out.md", "gone.md", "self.md", "x/up"}
    assert "out of the source" in reasons["out"]
    assert "out of the source" in reasons["out.md"]
    assert "not there" in reasons["gone.md"]
    assert "leads to itself" in reasons["self.md"]
    assert "that it lies in" in reasons["x/up"]


def test_a_source_may_be_a_link(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree("src", "a.md"))
    assert _names(discover(tmp_path / "link")) == ["a.md"]


def test_a_pipe_is_told_and_not_opened(tree: Tree) -> None:
    root = tree("src", "a.md")
    os.mkfifo(root / "pipe.jsonl")
    found = discover(root)
    assert _names(found) == ["a.md"]
    assert [(p.name, p.reason) for p in found.problems] == [("pipe.jsonl", "not a regular file")]
    assert discover(root / "pipe.jsonl").missing == "not a regular file"


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_of_a_beir_folder_only_the_corpus_is_read(tree: Tree, name: str) -> None:
    root = tree("beir", "queries.jsonl", "qrels/test.tsv", "README.md", text="q")
    line = json.dumps({"_id": "1", "title": "", "text": "words"}).encode()
    (root / name).write_bytes(gzip.compress(line) if name.endswith("gz") else line)
    (file,) = discover(root).files
    assert (file.name, file.layout) == (name, "corpus")
    (inner,) = discover(root.parent).files
    assert inner.name == f"beir/{name}"


@pytest.mark.parametrize(
    ("name", "text", "layout"),
    [
        ("wiki.jsonl", '{"id": "1", "contents": "a"}\n{"id"', "corpus"),
        ("part.jsonl", '\ufeff{"_id": "1", "text": "a"}', "corpus"),
        ("docs.json", '[{"id": "1", "contents": "a"}, {"id": "2"', "corpus"),
        ("one.json", '{"id": "1", "contents": "a"}', "corpus"),
        ("rows.jsonl", '{"name": "a", "price": 3}', "file"),
        ("config.json", '{"id": "1"}', "file"),
        ("broken.jsonl", '{"id": ', "file"),
        ("deep.json", "[" * 100_000, "file"),
    ],
)
def test_corpora_are_told_by_their_first_record(tree: Tree, name: str, text: str, layout: str) -> None:
    (file,) = discover(tree("src", name, text=text)).files
    assert file.layout == layout


def test_names_of_files_cannot_carry_control_characters(tree: Tree) -> None:
    root = tree("src", "a\x1b[31m\nb.md")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.md")).write_text("words")
    assert _names(discover(root)) == ["a[31m b.md", "\ufffd.md"]
