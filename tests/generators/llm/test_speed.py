"""How fast a model reads is measured once and kept; a file that says nothing sensible is measured over."""

from __future__ import annotations

from pathlib import Path

import pytest

from generators.llm.llama_cpp import kept_speed, measured


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_it_is_measured_once_for_a_model_and_a_number_of_threads() -> None:
    speeds = iter([10.0, 30.0, 50.0, 40.0])
    assert kept_speed("model", 2, lambda: next(speeds)) == 30.0  # the faster of two
    assert kept_speed("model", 2, lambda: next(speeds)) == 30.0
    assert kept_speed("model", 4, lambda: next(speeds)) == 50.0
    assert list(speeds) == []


def test_what_was_seen_is_written_once(home: Path) -> None:
    kept_speed("model", 2, lambda: 5.0, seen=20.004)
    [file] = (home / "speeds").iterdir()
    written = file.stat().st_ino  # a file that is written anew is another one
    assert kept_speed("model", 2, lambda: 5.0, seen=20.004) == 20.0
    assert file.stat().st_ino == written


def test_what_was_measured_on_a_busy_machine_gives_way_to_what_was_seen_since() -> None:
    assert kept_speed("model", 2, lambda: 5.0) == 5.0
    assert kept_speed("model", 2, lambda: 5.0, seen=4.0) == 5.0
    assert kept_speed("model", 2, lambda: 5.0, seen=20.0) == 20.0
    assert kept_speed("model", 2, lambda: 5.0) == 20.0, "it is kept"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tokens_per_second": -1}', '{"tokens_per_second": "many"}', "null"])
def test_a_file_that_says_nothing_sensible_is_written_anew(text: str, home: Path) -> None:
    kept_speed("model", 2, lambda: 5.0)
    [file] = (home / "speeds").iterdir()
    file.write_text(text)
    assert kept_speed("model", 2, lambda: 7.0) == 7.0
    assert kept_speed("model", 2, lambda: 9.0) == 7.0


def test_where_it_cannot_be_kept_it_is_measured_again(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "speeds").write_text("no folder")
    assert kept_speed("model", 2, lambda: 7.0) == 7.0
    assert kept_speed("model", 2, lambda: 9.0) == 9.0


def test_tokens_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 3.0])
    monkeypatch.setattr("generators.llm.llama_cpp.perf_counter", lambda: next(times))
    assert measured(lambda: 100) == 50.0
