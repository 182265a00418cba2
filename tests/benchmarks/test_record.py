from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import pytest

from benchmarks import record
from benchmarks.record import Record, for_folder


def test_results_that_could_not_be_kept_are_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action=Record)
    parser.add_argument("--out", type=for_folder, default=Path("runs"))
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    assert parser.parse_args([]).record is False
    assert parser.parse_args(["--record"]).record is True
    assert parser.parse_args(["--out", str(tmp_path / "new")]).out == tmp_path / "new"
    assert [each.name for each in tmp_path.iterdir()] == ["file"], "nothing is made before it is needed"
    monkeypatch.setattr(record, "RESULTS", tmp_path / "file")
    for given, option in ((["--record"], "--record"), (["--out", str(tmp_path / "file")], "--out")):
        with pytest.raises(SystemExit):
            parser.parse_args(given)
        told = capsys.readouterr().err
        assert option in told
        assert "no folder that can be written in" in told


def test_uncommitted_product_code_is_marked_new_files_and_plug_ins_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *words], cwd=tmp_path, check=True)

    plugin = tmp_path / "plugins" / "mine" / "ragline_mine"
    for folder in (tmp_path / "rag", tmp_path / "benchmarks", plugin):
        folder.mkdir(parents=True)
        (folder / "part.py").write_text("one = 1\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    monkeypatch.setattr(record, "__file__", str(tmp_path / "benchmarks" / "record.py"))
    clean = record.commit()
    assert clean.isalnum()
    (tmp_path / "benchmarks" / "part.py").write_text("one = 2\n")
    assert record.commit() == clean, "a benchmark is no product"
    (tmp_path / "rag" / "new.py").write_text("two = 2\n")
    assert record.commit() == f"{clean}+"
    (tmp_path / "rag" / "new.py").unlink()
    (plugin / "part.py").write_text("one = 2\n")
    assert record.commit() == f"{clean}+"


def test_every_benchmark_that_keeps_results_asks_for_it_so() -> None:
    folder = Path(record.__file__).parent
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    asking = {name for name, text in texts.items() if '"--record"' in text}
    assert asking
    assert {name for name in asking if "action=Record" not in texts[name]} == set()
