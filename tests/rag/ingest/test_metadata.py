"""Bounds on what goes with every hit."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.indexing import build_index
from rag.ingest import Problem, Reader, SourceFile
from rag.ingest.metadata import capped
from rag.ingest.types import Block, ParsedDocument
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from tests.rag.ingest.conftest import Noted

At = Callable[..., SourceFile]


def parsed(**metadata: object) -> ParsedDocument:
    return ParsedDocument(doc_id="a", title="", text="x", blocks=(Block(start=0, end=1),), metadata=metadata)


def test_what_is_within_bounds_stays_as_it_is(notes: Noted) -> None:
    document = parsed(a="x" * 4096, b=[1, {"c": None}], source="a")
    assert list(capped([document], notes)) == [document]
    assert notes == []


@pytest.mark.parametrize("letter", ["x", "é", "\u4e00", "\U0001f600"])
def test_a_long_text_is_cut_between_characters(notes: Noted, letter: str) -> None:
    (document,) = capped([parsed(a=letter * 5000, b="short")], notes)
    kept = document.metadata["a"]
    assert kept == letter * (4096 // len(letter.encode()))
    assert document.metadata["b"] == "short"
    assert notes == [("1 metadata values cut after 4,096 bytes; first: 'a' of a", True)]


def test_other_long_values_and_what_is_too_many_are_left_out(notes: Noted) -> None:
    many = {f"k{i}": i for i in range(600)}
    large = {f"t{i}": "x" * 4000 for i in range(40)}
    first, second, third = capped([parsed(a=[0] * 5000, b=1), parsed(**many, source="s"), parsed(**large)], notes)
    assert first.metadata == {"b": 1}
    assert len(second.metadata) == 513
    assert second.metadata["source"] == "s"
    assert list(third.metadata) == [f"t{i}" for i in range(16)]
    ((reason, lost),) = notes
    assert reason.startswith("113 metadata values left out")
    assert reason.endswith("first: 'a' of a")
    assert lost


def long_row(folder: Path) -> Path:
    """A row whose text is many chunks, with 60 fields of 1,000 characters and one of 50,000 beside it."""
    path = folder / "rows.csv"
    fields = {"id": "7", "team": "blue", **{f"f{i}": f"{i} " * 350 for i in range(60)}, "html": "y" * 50_000}
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, [*fields, "text"])
        table.writeheader()
        table.writerow(fields | {"text": " ".join(f"Sentence number {i} is here." for i in range(20_000))})
    return path


def test_a_row_of_many_chunks_has_its_fields_in_the_index_once(tmp_path: Path) -> None:
    path = long_row(tmp_path)
    report = build_index(path, tmp_path / "index", legs=["lexical"])
    assert report.n_units > 500
    assert report.size_bytes < 12 * path.stat().st_size
    (problem,) = report.problems
    assert str(problem) == "rows.csv: 1 metadata values cut after 4,096 bytes; first: 'html' of rows.csv:7"
    with LocalIndex.open(tmp_path / "index") as index:
        for row in (0, 1, len(index) - 1):
            metadata = index.documents[row].metadata
            assert (metadata["team"], metadata["html"], metadata["f9"]) == ("blue", "y" * 4096, ("9 " * 350).strip())
            assert metadata["parent"] == "rows.csv:7"
        assert len(index.rows({"team": "blue"})) == len(index)


def test_a_build_on_top_of_it_copies_what_a_fresh_one_writes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    long_row(source)
    build_index(source, tmp_path / "index", legs=["lexical"])
    (source / "a first.txt").write_text("Another file.")
    report = build_index(source, tmp_path / "index", legs=["lexical"])
    assert report.n_reused_files == 1
    build_index(source, tmp_path / "fresh", legs=["lexical"])
    with LocalIndex.open(tmp_path / "index") as index, LocalIndex.open(tmp_path / "fresh") as fresh:
        assert index.file("documents.jsonl").read_bytes() == fresh.file("documents.jsonl").read_bytes()


def test_corpora_keep_theirs_whole_unless_they_are_cut(tmp_path: Path, at: At) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"_id": "a", "text": "word " * 900, "note": "n" * 9000}) + "\n")
    told: list[Problem] = []
    with Reader(report=told.append) as reader:
        assert len(reader.read(at(path, layout="corpus"))[0].metadata["note"]) == 9000
    settings = IndexSettings.model_validate({"chunking": {"corpora": True}})
    report = build_index(path, tmp_path / "index", settings=settings, legs=["lexical"])
    assert told == []
    assert [problem.reason for problem in report.problems] == [
        "1 metadata values cut after 4,096 bytes; first: 'note' of a"
    ]


def test_titles_headings_and_ids_of_a_file_are_bounded(tmp_path: Path, reader: Reader, at: At) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,title,text\n" + f"{'i' * 5000},{'t' * 5000},hello\n")
    (document,) = reader.read(at(path))
    assert (len(document.title), len(document.doc_id)) == (1000, 1000 + len("rows.csv:"))
    page = tmp_path / "page.md"
    page.write_text(f"# {'h' * 5000}\n\nText.\n")
    (document,) = reader.read(at(page))
    assert [len(heading) for heading in document.blocks[0].headings] == [1000]
    assert "h" * 5000 in document.text
