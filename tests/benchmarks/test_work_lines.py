from __future__ import annotations

from pathlib import Path

from benchmarks.ways import cost_cells
from benchmarks.work_lines import Line, Work


def line(qid: str, value: float = 0.5, settings: str = "s") -> Line:
    return {"method": "m", "set": "set", "qid": qid, "settings": settings, "nDCG@10": value}


def test_what_was_added_is_there_after_a_restart(tmp_path: Path) -> None:
    Work(tmp_path / "w.jsonl").add(line("q1", 0.25))
    again = Work(tmp_path / "w.jsonl")
    assert again.get("m", "set", "q1", "s") == line("q1", 0.25)
    assert again.get("m", "set", "q1", "other settings") is None


def test_a_line_that_a_kill_cut_off_is_lost_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    work = Work(path)
    work.add(line("q1"))
    work.add(line("q2"))
    path.write_bytes(path.read_bytes()[:-20])
    resumed = Work(path)
    assert resumed.get("m", "set", "q2", "s") is None
    resumed.add(line("q3"))
    assert [each["qid"] for each in Work(path).of("m", "set", "s")] == ["q1", "q3"]


def test_lines_of_a_method_are_those_of_its_settings(tmp_path: Path) -> None:
    work = Work(tmp_path / "w.jsonl")
    for qid, settings in (("q2", "s"), ("q1", "old"), ("q1", "s")):
        work.add(line(qid, settings=settings))
    assert [each["qid"] for each in work.of("m", "set", "s")] == ["q2", "q1"]


def test_the_latest_lines_are_of_the_settings_that_came_last(tmp_path: Path) -> None:
    work = Work(tmp_path / "w.jsonl")
    assert work.latest("m", "set") == []
    assert work.methods == []
    for qid, settings in (("q1", "old"), ("q2", "old"), ("q2", "new")):
        work.add(line(qid, settings=settings))
    for each in (work, Work(tmp_path / "w.jsonl")):
        assert each.latest("m", "set") == [line("q2", settings="new")]
        assert each.latest("m", "other set") == []
        assert each.methods == ["m"]


def test_a_later_line_of_a_query_counts(tmp_path: Path) -> None:
    work = Work(tmp_path / "w.jsonl")
    work.add(line("q1", 0.1))
    work.add(line("q1", 0.9))
    assert [each["nDCG@10"] for each in Work(tmp_path / "w.jsonl").of("m", "set", "s")] == [0.9]


def test_every_line_of_a_method_on_a_set_is_found_whatever_its_settings(tmp_path: Path) -> None:
    work = Work(tmp_path / "w.jsonl")
    for settings in ("one", "two"):
        work.add(line("q1", settings=settings))
    assert [each["settings"] for each in work.every("m", "set")] == ["one", "two"]
    assert work.every("m", "other set") == []


def test_seconds_of_a_busy_machine_do_not_count(tmp_path: Path) -> None:
    quiet, busy = Work(tmp_path / "w.jsonl"), Work(tmp_path / "w.jsonl", busy=True)
    quiet.add({**line("q1"), "calls": 1, "seconds": 2.0})
    busy.add({**line("q2"), "calls": 4, "seconds": 90.0})
    lines = Work(tmp_path / "w.jsonl").of("m", "set", "s")
    assert cost_cells(lines, "calls", "seconds") == "2.5 | 2.0"
    assert cost_cells(lines[1:], "calls", "seconds") == "4.0 | -"
