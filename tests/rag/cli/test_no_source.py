"""An index of nothing: it is said what is missing, and nothing is left where it would have been."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.cli import main


@pytest.mark.parametrize("options", [[], ["--graph", "bm25"], ["--prune"], ["--json"], ["--watch"]])
def test_without_a_source_a_new_index_is_refused_and_no_folder_is_left(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "deep" / "new"
    assert main(["index", "--index", str(new), *options]) == 2
    said = capsys.readouterr().err
    assert f"no source is given, and there is no index at '{new}'" in said
    assert f"rag index SRC --index {new}" in said
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(("source", "says"), [("empty.txt", "no text in any of its files"), ("absent", "no such file")])
def test_a_source_that_gives_nothing_leaves_no_folder(
    tmp_path: Path, source: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").touch()
    command = ["index", str(tmp_path / source), "--index", str(tmp_path / "new"), "--graph", "bm25"]
    assert main(command) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_was_there_stays_empty(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert main(["index", str(tmp_path / "absent"), "--index", str(tmp_path / "new"), "--graph", "bm25"]) == 2
    assert [*(tmp_path / "new").iterdir()] == []


def test_an_index_that_is_there_is_brought_up_to_date_without_a_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("Wheels are trued.")
    command = ["index", "--index", str(tmp_path / "new")]
    assert main([*command, str(tmp_path / "a.txt"), "--graph", "bm25"]) == 0
    (tmp_path / "a.txt").write_text("Frames are brazed.")
    assert main(command) == 0
    capsys.readouterr()
    assert main(["search", "brazed", "--index", str(tmp_path / "new"), "--graph", "bm25"]) == 0
    assert "brazed" in capsys.readouterr().out
