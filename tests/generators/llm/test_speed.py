"""How fast a model reads is measured once, and follows what was read since; a file that says nothing sensible is measured over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from generators.llm.reading_speed import ReadingSpeed, measured


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def kept(measure: float = 5.0, *, model: str = "model", threads: int = 2) -> float:
    return ReadingSpeed(model, threads).kept(lambda: measure)


def rounded(speed: float) -> object:
    """A speed is told a tenth too low at most, and never too high."""
    return pytest.approx(speed * (1 + 1 / 1.1) / 2, rel=0.051)


def test_it_is_measured_once_for_a_model_and_a_number_of_threads() -> None:
    speeds = iter([10.0, 30.0, 50.0, 40.0])
    assert ReadingSpeed("model", 2).kept(lambda: next(speeds)) == rounded(30)  # the faster of two
    assert ReadingSpeed("model", 2).kept(lambda: next(speeds)) == rounded(30)
    assert ReadingSpeed("model", 4).kept(lambda: next(speeds)) == rounded(50)
    assert list(speeds) == []


def test_speeds_that_hardly_differ_are_one() -> None:
    speed = ReadingSpeed("model", 2)
    before = speed.kept(lambda: 1.1**40 + 0.5)
    speed.note(1.1**40 + 2)
    assert speed.kept(lambda: 5.0) == before == pytest.approx(1.1**40)


def test_it_is_the_middle_one_of_the_last_three_readings() -> None:
    speed = ReadingSpeed("model", 2)
    assert speed.kept(lambda: 5.0) == rounded(5)
    speed.note(60)
    speed.note(62)
    assert kept() == rounded(60), "what was measured on a busy machine gives way, and for others too"
    speed.note(20)
    assert kept() == rounded(60), "one may have been read in a busy moment"
    speed.note(31)
    assert kept() == rounded(31)
    speed.note(118)
    assert kept() == rounded(31), "one may have been read while nobody else was on the machine"


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_what_is_no_speed_is_not_noted(speed: float) -> None:
    reading = ReadingSpeed("model", 2)
    assert reading.kept(lambda: 7.0) == rounded(7)
    for _ in range(3):
        reading.note(speed)
    assert kept(9.0) == rounded(7)


def test_what_a_batch_reads_side_by_side_is_not_noted(home: Path) -> None:
    ReadingSpeed("model", 2).note(20)
    assert not (home / "speeds").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tokens_per_second": -1}',
        '{"tokens_per_second": "many"}',
        "null",
        '{"tokens_per_second": [1, 0]}',
    ],
)
def test_a_file_that_says_nothing_sensible_is_written_anew(text: str, home: Path) -> None:
    kept()
    [file] = (home / "speeds").iterdir()
    file.write_text(text)
    assert kept(7.0) == rounded(7)
    assert kept(9.0) == rounded(7)


def test_a_file_of_before_holds_one_number(home: Path) -> None:
    kept()
    [file] = (home / "speeds").iterdir()
    file.write_text(json.dumps({"tokens_per_second": 20.0}))
    assert kept(9.0) == rounded(20)


def test_where_it_cannot_be_kept_it_is_measured_again(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "speeds").write_text("no folder")
    assert kept(7.0) == rounded(7)
    assert kept(9.0) == rounded(9)


def test_tokens_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 3.0])
    monkeypatch.setattr("generators.llm.reading_speed.perf_counter", lambda: next(times))
    assert measured(lambda: 100) == 50.0
