"""A gate: verdicts by point and by interval, the data it was first run on, and what it writes for others."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from plugins.lab.tests.conftest import Command, write_lines
from rag import SpecError
from rag.evaluate import evaluate_graph, load_beir
from rag.graphs import load_spec
from ragline_lab.gate.gate import run_gate
from ragline_lab.gate.reports import junit, markdown
from ragline_lab.gate.suite import load_suite
from ragline_lab.gate.verdicts import Requirement, judge

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "gate"


def asked(kind: Any, threshold: float, by: Any = "point") -> Requirement:
    return Requirement(measure="AP", kind=kind, threshold=threshold, by=by)


@pytest.mark.parametrize(
    ("kind", "threshold", "by", "figures", "state", "is_open"),
    [
        ("at_least", 0.5, "point", (0.6, 0.55, 0.65), "passed", False),
        ("at_least", 0.5, "point", (0.6, 0.4, 0.7), "passed", True),
        ("at_least", 0.5, "point", (0.4, 0.3, 0.6), "failed", True),
        ("at_least", 0.5, "interval", (0.6, 0.5, 0.7), "passed", False),
        ("at_least", 0.5, "interval", (0.6, 0.4, 0.7), "not shown", True),
        ("at_least", 0.5, "interval", (0.4, 0.3, 0.5), "not shown", True),
        ("at_least", 0.5, "interval", (0.4, 0.3, 0.49), "failed", False),
        ("at_most", 0.1, "point", (0.05, 0.0, 0.2), "passed", True),
        ("at_most", 0.1, "point", (0.15, 0.05, 0.2), "failed", True),
        ("at_most", 0.1, "interval", (0.05, 0.0, 0.1), "passed", False),
        ("at_most", 0.1, "interval", (0.05, 0.0, 0.2), "not shown", True),
        ("at_most", 0.1, "interval", (0.2, 0.15, 0.3), "failed", False),
        ("not_below", 0.0, "point", (-0.1, -0.2, 0.05), "passed", True),  # lower, and it may be luck
        ("not_below", 0.0, "point", (-0.1, -0.2, -0.01), "failed", False),
        ("not_below", 0.05, "point", (-0.1, -0.2, -0.01), "passed", True),
        ("not_below", 0.0, "interval", (-0.1, -0.2, 0.05), "not shown", True),
        ("not_below", 0.2, "interval", (-0.1, -0.2, 0.05), "passed", False),
        ("not_below", 0.0, "interval", (0.0, 0.0, 0.0), "passed", False),
    ],
)
def test_a_figure_passes_fails_or_is_not_shown(
    kind: str, threshold: float, by: str, figures: tuple[float, float, float], state: str, is_open: bool
) -> None:
    value, low, high = figures
    verdict = judge(asked(kind, threshold, by), value=value, low=low, high=high, n=9)
    assert (verdict.state, verdict.is_open) == (state, is_open)
    assert ("includes the threshold" in verdict.told) == is_open


def suite_of(tmp_path: Path, made_up: Path, **more: Any) -> Path:
    check = {"dataset": str(made_up), "graph": "bm25", "measures": {"nDCG@10": {"at_least": 0.1}}}
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "checks": {"words": check | more}}))
    return path


def test_the_example_passes_and_its_data_are_those_that_were_committed(tmp_path: Path, rag: Command) -> None:
    place = tmp_path / "gate"
    shutil.copytree(EXAMPLE, place)
    lock = (place / "gate.lock.json").read_text()
    code, said, _ = rag("lab", "gate", "--suite", place / "gate.yaml")
    assert code == 0
    assert said.splitlines()[-1] == "passed: 2 passed"
    assert (place / "gate.lock.json").read_text() == lock


def test_the_action_of_the_example_names_what_there_is() -> None:
    from rag.cli.parser import parser

    action = yaml.safe_load((EXAMPLE / "github-action.yaml").read_text())
    [command] = [step["run"] for step in action["jobs"]["gate"]["steps"] if "rag lab" in step.get("run", "")]
    given = parser().parse_args(command.split()[1:])
    assert (given.suite, given.junit, given.markdown) == ("gate.yaml", "gate/junit.xml", "gate/gate.md")


def test_a_check_that_fails_ends_with_one_and_figures_are_those_of_an_evaluation(
    made_up: Path, tmp_path: Path, rag: Command
) -> None:
    measures = {"ndcg_cut_10": {"at_least": 0.99}, "R@5": {"at_least": 0.01, "at_most": 1, "by": "interval"}}
    suite = suite_of(tmp_path, made_up, measures=measures)
    code, said, _ = rag("lab", "gate", "--suite", suite, "--json", "--out", tmp_path / "runs")
    assert code == 1
    report = json.loads(said)
    [check] = report["checks"]
    alone = evaluate_graph(load_beir(made_up), load_spec("bm25"), out=tmp_path / "alone", measures=["nDCG@10", "R@5"])
    states = {(each["measure"], each["asked"]): each["state"] for each in check["verdicts"]}
    assert states == {("nDCG@10", "at_least"): "failed", ("R@5", "at_least"): "passed", ("R@5", "at_most"): "passed"}
    for each in check["verdicts"]:
        interval = alone.intervals[each["measure"]]
        assert (each["value"], each["low"], each["high"], each["queries"]) == (
            alone.evaluation.measures[each["measure"]], interval.low, interval.high, interval.n,
        )  # fmt: skip
    assert (tmp_path / "runs" / "01-words" / "per_query.csv").exists()
    assert report["passed"] is check["passed"] is False


def test_run_folders_that_cannot_be_kept_are_told(made_up: Path, tmp_path: Path, rag: Command) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, told = rag("lab", "gate", "--suite", suite_of(tmp_path, made_up), "--out", tmp_path / "file")
    assert code == 2
    assert f"'{tmp_path / 'file' / '01-words'}' is no folder that can be written in" in told


def test_what_is_not_shown_does_not_pass(made_up: Path, tmp_path: Path, rag: Command) -> None:
    report = run_gate(load_suite(suite_of(tmp_path, made_up)))
    [verdict] = report.checks[0].verdicts
    between = (verdict.low + verdict.value) / 2
    measures = {"nDCG@10": {"at_least": between}}
    assert rag("lab", "gate", "--suite", suite_of(tmp_path, made_up, measures=measures))[0] == 0
    measures["nDCG@10"]["by"] = "interval"  # type: ignore[assignment]
    code, said, _ = rag("lab", "gate", "--suite", suite_of(tmp_path, made_up, measures=measures))
    assert code == 1
    assert said.startswith("not shown  words: nDCG@10: whole interval at least")


def test_a_baseline_is_compared_query_by_query(made_up: Path, tmp_path: Path) -> None:
    graph = {"version": 1, "nodes": {"bm25": {"use": "retrieve.bm25", "k": 1}}, "output": "bm25"}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(graph))
    evaluate_graph(load_beir(made_up), load_spec("bm25"), out=tmp_path / "runs" / "main")
    asks = {"R@100": {"not_below": 0.0}}
    same = suite_of(tmp_path, made_up, baseline="runs/main", measures=asks)
    report = run_gate(load_suite(same))
    [verdict] = report.checks[0].verdicts
    assert (verdict.value, verdict.low, verdict.high, verdict.state) == (0.0, 0.0, 0.0, "passed")
    worse = suite_of(tmp_path, made_up, baseline="runs/main", measures=asks, graph="one.yaml")
    report = run_gate(load_suite(worse))
    [verdict] = report.checks[0].verdicts
    assert verdict.state == "failed"
    assert verdict.high < 0


def test_changed_data_are_told_and_refused_until_they_are_accepted(made_up: Path, tmp_path: Path, rag: Command) -> None:
    data = tmp_path / "data"
    shutil.copytree(made_up, data)
    suite = suite_of(tmp_path, data)
    assert rag("lab", "gate", "--suite", suite)[0] == 0
    lock = tmp_path / "gate.lock.json"
    first = json.loads(lock.read_text())
    assert first["checks"]["words"].keys() == {"corpus", "queries", "judgements of test"}
    with (data / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "new", "title": "", "text": "balam"}\n')
    code, _, told = rag("lab", "gate", "--suite", suite)
    assert code == 2
    assert "gate.yaml:2: check 'words': corpus changed since the suite was first run" in told
    assert json.loads(lock.read_text()) == first
    code, said, _ = rag("lab", "gate", "--suite", suite, "--accept")
    assert code == 0
    assert "check 'words': corpus changed, and was accepted" in said
    assert json.loads(lock.read_text()) != first
    assert rag("lab", "gate", "--suite", suite)[0] == 0


def test_data_that_are_packed_are_the_same(made_up: Path, tmp_path: Path, rag: Command) -> None:
    import gzip

    data = tmp_path / "data"
    shutil.copytree(made_up, data)
    suite = suite_of(tmp_path, data)
    assert rag("lab", "gate", "--suite", suite)[0] == 0
    for name in ("corpus.jsonl", "queries.jsonl"):
        (data / f"{name}.gz").write_bytes(gzip.compress((data / name).read_bytes()))
        (data / name).unlink()
    assert rag("lab", "gate", "--suite", suite)[0] == 0


def test_a_lock_that_is_damaged_is_refused_until_it_is_accepted(made_up: Path, tmp_path: Path, rag: Command) -> None:
    suite = suite_of(tmp_path, made_up)
    (tmp_path / "gate.lock.json").write_text('{"checks": [1]}')
    code, _, told = rag("lab", "gate", "--suite", suite)
    assert code == 2
    assert "gate.lock.json is damaged" in told
    assert rag("lab", "gate", "--suite", suite, "--accept")[0] == 0
    assert rag("lab", "gate", "--suite", suite)[0] == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- 1", "a suite is a mapping"),
        ("version: 1\nchecks: {}", "checks: dictionary should have at least 1 item"),
        ("version: 2\nchecks: {a: {dataset: d, graph: bm25, measures: {AP: {at_least: 1}}}}", "gate.yaml:1: version"),
        ("version: 1\nchekcs: {}", "chekcs: unknown key. Did you mean 'checks'"),
        (
            "version: 1\nchecks:\n  a:\n    datset: d\n    graph: bm25\n    measures: {AP: {at_least: 1}}",
            "gate.yaml:4: checks.a.datset: unknown key. Did you mean 'dataset'",
        ),
        (
            "version: 1\nchecks:\n  a: {dataset: d, graph: bm25, measures: {AP: {at_leest: 1}}}",
            "checks.a.measures.AP.at_leest: unknown key. Did you mean 'at_least'",
        ),
        (
            "version: 1\nchecks:\n  a: {dataset: d, graph: bm25, measures: {AP: {by: point}}}",
            "at_least, at_most or not_below is wanted",
        ),
        (
            "version: 1\nchecks:\n  a: {dataset: d, graph: bm25, measures: {AP: {not_below: 0}}}",
            "gate.yaml:3: checks.a: AP: not_below needs a baseline",
        ),
        (
            "version: 1\nchecks:\n  a: {dataset: d, graph: bm25, baseline: r, measures: {AP: {at_least: 0}}}",
            "no measure asks not_below",
        ),
        ("version: 1\nchecks:\n  a: {dataset: d, graph: bm25, measures: {AP: {at_least: .nan}}}", "finite number"),
        ("version: 1\nchecks:\n  a: {dataset: d, graph: bm25, measures: {AP: {at_least: high}}}", "got 'high'"),
        ("version: 1\nchecks:\n  a: {dataset: d, graph: bm25, measures: {AP: {at_least: yes}}}", "got 'True'"),
        ("version: 1\nchecks:\n  a: &x {dataset: d}\n  b: *x", "anchors"),
        ("version: 1\nchecks:\n  a: {dataset: d}\n  a: {dataset: e}", "gate.yaml:4: 'a' is written twice"),
        (
            "version: 1\nchecks:\n  a: {dataset: d, graph: bm25, index: {chnking: {}}, measures: {AP: {at_least: 1}}}",
            "checks.a.index.chnking: unknown key. Did you mean 'chunking'",
        ),
        (
            "version: 1\nchecks:\n  a: {dataset: d, graph: bm25, index: {chunking: {tokns: 1}}, measures: {AP: {at_least: 1}}}",
            "checks.a.index.chunking.tokns: unknown key. Did you mean 'tokens'",
        ),
    ],
    ids=range(16),
)
def test_a_suite_of_another_form_is_told_with_its_line(text: str, says: str, tmp_path: Path, rag: Command) -> None:
    (tmp_path / "gate.yaml").write_text(text)
    code, _, told = rag("lab", "gate", "--suite", tmp_path / "gate.yaml")
    assert code == 2
    assert says in told


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"dataset": "nowhere"}, "nowhere' is not a folder"),
        ({"graph": "bm26"}, "Did you mean 'bm25'"),
        ({"split": "dev"}, "has no split 'dev'"),
        ({"measures": {"nDGC@10": {"at_least": 0}}}, "no measure named 'nDGC@10'"),
        ({"measures": {"EM": {"at_least": 0}}}, "ends in rankings"),
        ({"measures": {"AP": {"at_least": 0}, "map": {"at_least": 1}}}, "AP is asked at_least twice"),
        ({"baseline": "nowhere", "measures": {"AP": {"not_below": 0}}}, "no baseline 'nowhere'"),
    ],
)
def test_what_a_suite_names_is_looked_for_before_anything_runs(
    more: dict[str, Any], says: str, made_up: Path, tmp_path: Path
) -> None:
    good = {"dataset": str(made_up), "graph": "bm25", "measures": {"AP": {"at_least": 0}}}
    suite = {"version": 1, "checks": {"good": good, "bad": good | more}}
    (tmp_path / "gate.yaml").write_text(json.dumps(suite))
    with pytest.raises(SpecError, match="check 'bad'") as told:
        run_gate(load_suite(tmp_path / "gate.yaml"), out=tmp_path / "runs")
    assert says in str(told.value)
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "gate.lock.json").exists()


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
def test_a_report_that_cannot_be_written_is_told_before_anything_runs(
    option: str, made_up: Path, tmp_path: Path, rag: Command
) -> None:
    suite = suite_of(tmp_path, made_up)
    code, _, told = rag("lab", "gate", "--suite", suite, option, suite / "report")
    assert code == 2
    assert f"{option} '{suite / 'report'}' cannot be written" in told
    assert not (tmp_path / "gate.lock.json").exists()


def test_a_folder_or_lock_that_cannot_be_written_is_told_before_anything_runs(
    made_up: Path, tmp_path: Path, rag: Command
) -> None:
    suite = suite_of(tmp_path, made_up)
    (tmp_path / "file").write_text("mine")
    code, _, told = rag("lab", "gate", "--suite", suite, "--out", tmp_path / "file")
    assert code == 2
    assert "no folder that can be written in" in told
    assert not (tmp_path / "gate.lock.json").exists()


def test_hostile_names_stay_names_in_xml_and_markdown(made_up: Path, tmp_path: Path, rag: Command) -> None:
    name = '"><failure/>|[x](http:y)`\u202e\n../../up'
    good = {"dataset": str(made_up), "graph": "bm25", "measures": {"AP": {"at_least": 1.0}, "R@5": {"at_least": 0.0}}}
    (tmp_path / "gate.yaml").write_text(yaml.safe_dump({"version": 1, "checks": {name: good}}))
    code, _, _ = rag(
        "lab", "gate", "--suite", tmp_path / "gate.yaml", "--out", tmp_path / "runs",
        "--junit", tmp_path / "j.xml", "--markdown", tmp_path / "m.md",
    )  # fmt: skip
    assert code == 1
    root = ET.fromstring((tmp_path / "j.xml").read_text())
    [suite] = root
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    assert suite.get("name") == '"><failure/>|[x](http:y)`\ufffd ../../up'
    assert [case.get("name") for case in suite.findall("testcase")] == ["AP: at least 1", "R@5: at least 0"]
    [failure] = suite.iter("failure")
    assert failure.get("type") == "failed"
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert len(properties["sha256 of corpus"] or "") == 64
    page = (tmp_path / "m.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert rows[2].startswith('| "\\>\\<failure/\\>\\|\\[x\\](http:y)\\`\ufffd ../../up | AP: at least 1 |')
    [folder] = (tmp_path / "runs").iterdir()
    assert re.fullmatch("01-[-A-Za-z]*up", folder.name)


def test_reports_say_what_was_accepted_and_what_failed_on_its_way(made_up: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(made_up, data)
    suite = load_suite(suite_of(tmp_path, data))
    run_gate(suite)
    write_lines(data / "queries.jsonl", [{"_id": q.qid, "text": f"{q.text} balam"} for q in load_beir(made_up).queries])
    report = run_gate(suite, accept=True)
    assert "check 'words': queries changed, and was accepted" in markdown(report)
    assert ET.fromstring(junit(report)).get("failures") == "0"
