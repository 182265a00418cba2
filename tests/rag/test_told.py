"""What went wrong with many files alike is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.cli import main
from rag.core.errors import SpecError
from rag.indexing import build_index
from rag.indexing.problem_lines import told
from rag.ingest import Problem


def problems(*names_and_reasons: tuple[str, str]) -> list[Problem]:
    return [Problem(name=name, reason=reason, lost=name.islower()) for name, reason in names_and_reasons]


def test_a_reason_is_told_once_where_it_first_came() -> None:
    some = problems(("a", "empty"), ("b", "binary"), ("c", "empty"))
    assert list(told(some)) == ["a, c: empty", "b: binary"]
    many = problems(*((name, "empty") for name in "abcdef"), ("g", "binary"))
    assert list(told(many)) == ["6, such as a, b, c: empty", "g: binary"]


def test_what_lines_begin_with_tells_them_apart() -> None:
    mixed = problems(("a", "empty"), ("B", "empty"), ("c", "empty"))
    assert list(told(mixed, lambda problem: "lost: " if problem.lost else "kept: ")) == [
        "lost: a, c: empty",
        "kept: B: empty",
    ]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder of links that lead out of it."""
    (tmp_path / "outside.md").write_text("words")
    folder = tmp_path / "src"
    folder.mkdir()
    for n in range(62):
        (folder / f"out{n:02}.md").symlink_to(tmp_path / "outside.md")
    return folder


def test_62_links_out_of_a_source_are_one_line(
    linked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (linked / "a.md").write_text("words")
    assert main(["index", str(linked), "--index", str(tmp_path / "idx"), "--graph", "bm25"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "not indexed: 62, such as src/out00.md, src/out01.md, src/out02.md: a symbolic link out of the source; give what it "
        "points to as a source of its own"
    ]


def test_a_refusal_tells_them_so_too(linked: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        build_index([linked], tmp_path / "idx")
    assert str(error.value).count("symbolic link") == 1
