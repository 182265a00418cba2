"""What is taken up again: lines of the same component, prompts, settings and data, and no others."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import record, work_lines
from benchmarks.graphs import llm_part
from benchmarks.ways import cost_cells
from benchmarks.work_lines import Component, Line, Setup, Work
from prompts.template import LIBRARY
from rag.graph.build import build
from rag.graph.load import load_spec
from rerankers import RERANKERS

SETUP = Setup(settings="s", component="c", prompts="p", data="d")
MODEL = "smollm2-135m-instruct"


def line(qid: str, value: float = 0.5, **more: Any) -> Line:
    return {"method": "m", "set": "set", "qid": qid, "nDCG@10": value, **more}


def setup(settings: str) -> Setup:
    return replace(SETUP, settings=settings)


def qids(lines: list[Line]) -> list[str]:
    return [each["qid"] for each in lines]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))


def test_what_was_added_is_there_after_a_restart(tmp_path: Path) -> None:
    Work(tmp_path / "w.jsonl").add(line("q1", 0.25), SETUP)
    found = Work(tmp_path / "w.jsonl").get("m", "set", "q1", SETUP)
    assert found is not None
    assert found.items() >= line("q1", 0.25).items()
    assert Setup.of_line(found) == SETUP
    assert (found["commit"], found["machine"]) == (record.commit(), record.machine())


@pytest.mark.parametrize("other", ["settings", "component", "prompts", "data"])
def test_a_line_counts_for_its_own_setup_alone(other: str, tmp_path: Path) -> None:
    Work(tmp_path / "w.jsonl").add(line("q1"), SETUP)
    again = Work(tmp_path / "w.jsonl")
    assert again.get("m", "set", "q1", replace(SETUP)) is not None
    assert again.get("m", "set", "q1", replace(SETUP, **{other: "another"})) is None


def test_a_commit_is_told_and_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_lines, "commit", lambda: "abc+")
    Work(tmp_path / "w.jsonl").add(line("q1"), SETUP)
    monkeypatch.undo()
    found = Work(tmp_path / "w.jsonl").get("m", "set", "q1", SETUP)
    assert found is not None
    assert found["commit"] == "abc+"


def test_a_line_that_a_kill_cut_off_is_lost_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    work = Work(path)
    work.add(line("q1"), SETUP)
    work.add(line("q2"), SETUP)
    path.write_bytes(path.read_bytes()[:-20])
    resumed = Work(path)
    assert resumed.get("m", "set", "q2", SETUP) is None
    resumed.add(line("q3"), SETUP)
    assert qids(Work(path).of("m", "set", SETUP)) == ["q1", "q3"]


def test_lines_of_before_are_passed_over_and_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.jsonl"
    old = [line("q1", settings="s"), line("q2", settings="s", commit="abc", cpu="a processor")]
    path.write_text("".join(f"{json.dumps(each)}\n" for each in old))
    Work(path).add(line("q3"), SETUP)
    again = Work(path)
    assert again.get("m", "set", "q1", SETUP) is None
    assert qids(again.every("m", "set")) == qids(again.latest("m", "set")) == ["q3"]
    assert capsys.readouterr().err == "w.jsonl: 2 lines that do not say what made them are passed over\n"


def test_lines_of_a_method_are_those_of_its_setup(tmp_path: Path) -> None:
    work = Work(tmp_path / "w.jsonl")
    for qid, settings in (("q2", "s"), ("q1", "old"), ("q1", "s")):
        work.add(line(qid), setup(settings))
    assert qids(work.of("m", "set", setup("s"))) == ["q2", "q1"]


def test_the_latest_lines_are_of_the_setup_that_came_last(tmp_path: Path) -> None:
    work, mended = Work(tmp_path / "w.jsonl"), replace(setup("old"), prompts="mended")
    assert work.latest("m", "set") == []
    assert work.methods == []
    for qid, made in (("q1", setup("old")), ("q2", setup("old")), ("q3", mended), ("q2", setup("new"))):
        work.add(line(qid), made)
    for each in (work, Work(tmp_path / "w.jsonl")):
        assert qids(each.latest("m", "set")) == ["q2"]
        assert qids(each.latest("m", "set", "old")) == ["q3"]
        assert each.latest("m", "set", "other") == each.latest("m", "other set") == []
        assert each.methods == ["m"]


def test_a_later_line_of_a_query_counts(tmp_path: Path) -> None:
    work = Work(tmp_path / "w.jsonl")
    work.add(line("q1", 0.1), SETUP)
    work.add(line("q1", 0.9), SETUP)
    assert [each["nDCG@10"] for each in Work(tmp_path / "w.jsonl").of("m", "set", SETUP)] == [0.9]


def test_every_line_of_a_method_on_a_set_is_found_whatever_its_setup(tmp_path: Path) -> None:
    work = Work(tmp_path / "w.jsonl")
    for settings in ("one", "two"):
        work.add(line("q1"), setup(settings))
    assert [each["settings"] for each in work.every("m", "set")] == ["one", "two"]
    assert work.every("m", "other set") == []


def test_seconds_of_a_busy_machine_do_not_count(tmp_path: Path) -> None:
    quiet, busy = Work(tmp_path / "w.jsonl"), Work(tmp_path / "w.jsonl", busy=True)
    quiet.add({**line("q1"), "calls": 1, "seconds": 2.0}, SETUP)
    busy.add({**line("q2"), "calls": 4, "seconds": 90.0}, SETUP)
    lines = Work(tmp_path / "w.jsonl").of("m", "set", SETUP)
    assert cost_cells(lines, "calls", "seconds") == "2.5 | 2.0"
    assert cost_cells(lines[1:], "calls", "seconds") == "4.0 | -"


def test_seconds_of_another_machine_do_not_count_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.jsonl"
    monkeypatch.setattr(work_lines, "machine", lambda: {"cpu": "another"})
    Work(path).add({**line("q1"), "calls": 1, "seconds": 90.0}, SETUP)
    assert cost_cells(Work(path).of("m", "set", SETUP), "calls", "seconds") == "1.0 | 90.0", "where only one was used"
    assert capsys.readouterr().err == ""
    monkeypatch.undo()
    work = Work(path)
    work.add({**line("q2"), "calls": 4, "seconds": 2.0}, SETUP)
    for each in (work, Work(path)):
        lines = each.of("m", "set", SETUP)
        assert cost_cells(lines, "calls", "seconds") == "2.5 | 2.0"
        assert cost_cells(lines[:1], "seconds") == "-"
    assert "elsewhere" not in path.read_text()
    told = capsys.readouterr().err
    assert told == "w.jsonl: seconds of lines of another machine, or other versions of libraries, do not count\n"


# What a setup is made of.


def yes_no(**params: Any) -> Setup:
    return Setup.of(Component(RERANKERS.get("yes_no"), llm=llm_part(MODEL, "transformers"), **params))


def test_equal_parts_have_one_setup() -> None:
    assert yes_no(max_words=40) == yes_no(max_words=40)
    assert yes_no(max_words=40).settings.startswith('YesNoReranker {"llm": {"use": "llm.transformers"')


def test_a_parameter_makes_another_component() -> None:
    one, other = yes_no(max_words=40), yes_no(max_words=41)
    assert one.component != other.component
    assert one.prompts == other.prompts


def test_a_model_makes_another_component() -> None:
    kind = RERANKERS.get("yes_no")
    other = Setup.of(Component(kind, llm=llm_part("qwen2.5-coder-1.5b-instruct", "transformers")))
    assert yes_no().component != other.component


def test_the_words_of_a_prompt_make_other_prompts(tmp_path: Path) -> None:
    prompt = tmp_path / "mine.yaml"
    prompt.write_bytes((LIBRARY / "rank_yes_no.yaml").read_bytes())
    before = yes_no(prompt=str(prompt))
    assert yes_no(prompt=str(prompt)) == before
    prompt.write_text(prompt.read_text() + "# one thing more\n")
    after = yes_no(prompt=str(prompt))
    assert (after.component, after.settings) == (before.component, before.settings)
    assert after.prompts != before.prompts


def test_files_and_functions_count_by_what_is_in_them(tmp_path: Path) -> None:
    file = tmp_path / "terms.txt"
    file.write_text("one")
    one = Setup.of(Component(Holder, file=file))
    file.write_text("two")
    assert Setup.of(Component(Holder, file=file)).component != one.component
    assert Setup.of(line).component != Setup.of(qids).component


class Holder:
    def __init__(self, *, file: str) -> None:
        self.file = file


def test_a_component_is_made_of_what_describes_it(tmp_path: Path) -> None:
    made = Component(Holder, file=tmp_path).make()
    assert made.file == str(tmp_path)
    assert Component(Holder, file=tmp_path).make(file="other").file == "other"
    llm = object()
    inner = Component(RERANKERS.get("yes_no"), llm=llm_part(MODEL, "transformers"))
    with pytest.raises(ValueError, match=r"rerank\.yes_no needs a model that can"):
        Component(RERANKERS.get("self_consistency"), of=inner).make(llm=llm)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Writes a module with a component, and its base in another, and loads it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def written(body: str, base: str = "pass") -> Any:
        for name, text in (("its_base", f"class Base:\n    {base}\n"), ("component", _COMPONENT.format(body=body))):
            (tmp_path / f"{name}.py").write_text(text)
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module("component").Reranker

    return written


_COMPONENT = """from its_base import Base


class Reranker(Base):
    def __init__(self, *, window: int = 20) -> None:
        {body}
"""


def test_the_source_of_a_class_and_of_its_bases_makes_another_component(module: Callable[..., Any]) -> None:
    one = Setup.of(Component(module("self.window = window")))
    assert Setup.of(Component(module("self.window = window"))) == one
    assert Setup.of(Component(module("self.window = window + 1"))).component != one.component
    assert Setup.of(Component(module("self.window = window", base="depth = 1"))).component != one.component


def test_data_count_by_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text('{"_id": "a"}\n')
    before = Setup.of(data=[folder], settings="s")
    assert Setup.of(data=[folder], settings="s") == before
    (folder / "corpus.jsonl").write_text('{"_id": "b"}\n')
    assert Setup.of(data=[folder], settings="s").data != before.data
    assert Setup.of(data=[folder / "corpus.jsonl"], settings="s").data != before.data


def graph(**params: Any) -> dict[str, Any]:
    node = {"use": "generate.closed_book", "with": {"llm": "writer", **params}}
    return {"version": 1, "models": {"writer": {"use": "llm.scripted"}}, "nodes": {"answer": node}, "output": "answer"}


def test_a_built_graph_says_what_it_is(tmp_path: Path) -> None:
    def setup_of(**params: Any) -> Setup:
        return Setup.of(build(load_spec(graph(**params))))

    one = setup_of(max_tokens=64)
    assert one == setup_of(max_tokens=64)
    assert one.settings == 'llm.scripted; generate.closed_book {"llm": "writer", "max_tokens": 64}'
    assert setup_of(max_tokens=65).component != one.component
    prompt = tmp_path / "mine.yaml"
    prompt.write_bytes((LIBRARY / "answer_closed_book.yaml").read_bytes())
    before = setup_of(prompt=str(prompt))
    prompt.write_text(prompt.read_text() + "# one thing more\n")
    assert setup_of(prompt=str(prompt)).prompts != before.prompts
