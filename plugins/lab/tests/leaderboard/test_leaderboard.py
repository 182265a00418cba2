"""Sets by systems: what is found, what is tested, and a page that holds whatever names there are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import SpecError
from rag.cli import main
from rag.evaluate import Evaluation, holm, paired_randomisation, write_per_query
from ragline_lab.leaderboard.board import board_of
from ragline_lab.leaderboard.page import page
from ragline_lab.leaderboard.published import Figure, read_published
from ragline_lab.leaderboard.run_folders import RunFacts, find_runs
from ragline_lab.leaderboard.svg import Bar, Outline, bars, radar, scale
from ragline_lab.pages.document import escaped, link
from ragline_lab.pages.svg import fitted

HOSTILE = '"><img src=x onerror=alert(1)>\u202egnp'


def of(values: Sequence[float], *, measure: str = "nDCG@10") -> Evaluation:
    per_query = {measure: {f"q{place}": value for place, value in enumerate(values)}}
    return Evaluation(measures={measure: sum(values) / len(values)}, per_query=per_query, n_queries=len(values))


LOW, HIGH = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.2, 0.1], [0.5, 0.7, 0.6, 0.5, 0.7, 0.8, 0.5, 0.6, 0.7]
MEASURED: dict[str, dict[str, Evaluation]] = {
    "one": {"base": of(LOW), "good": of(HIGH), "same": of(LOW)},
    "two": {"base": of(HIGH), "good": of(HIGH[::-1])},
}


def facts(measured: Mapping[str, Mapping[str, Evaluation]]) -> dict[str, dict[str, RunFacts]]:
    runs: dict[str, dict[str, RunFacts]] = {}
    for name, of_set in measured.items():
        for system in of_set:
            runs.setdefault(system, {})[name] = RunFacts(path=Path("runs") / name / system, kind="rag eval")
    return runs


def table(folder: Path, values: Sequence[float] = LOW, **report: Any) -> Path:
    """A folder as `rag eval` leaves it, of one measure."""
    folder.mkdir(parents=True)
    write_per_query(of(values), folder / "per_query.csv")
    if report:
        (folder / "report.json").write_text(json.dumps(report))
    return folder


class TestFinding:
    def test_runs_are_found_by_set_and_what_is_none_is_told(self, tmp_path: Path) -> None:
        table(tmp_path / "one" / "a")
        (tmp_path / "one" / "b.trec").write_text("")
        (tmp_path / "one" / "notes.txt").write_text("")
        (tmp_path / "two" / "c").mkdir(parents=True)
        (tmp_path / "two" / "c" / "answers.jsonl").write_text("")
        (tmp_path / "empty").mkdir()
        (tmp_path / ".hidden").mkdir()
        found = find_runs(tmp_path)
        assert {name: list(of_set) for name, of_set in found.runs.items()} == {"one": ["a", "b"], "two": ["c"]}
        assert [place.name for place in found.left_out] == ["empty", "notes.txt"]

    def test_a_folder_of_systems_is_one_set(self, tmp_path: Path) -> None:
        table(tmp_path / "mine" / "a")
        table(tmp_path / "mine" / "b")
        assert list(find_runs(tmp_path / "mine").runs["mine"]) == ["a", "b"]

    def test_what_cannot_be_a_board_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"has no runs\. Looked for"):
            find_runs(tmp_path)
        with pytest.raises(SpecError, match="is no folder"):
            find_runs(tmp_path / "nowhere")
        table(tmp_path / "one" / "a")
        (tmp_path / "one" / "a.run").write_text("")
        with pytest.raises(SpecError, match=r"are both the run of 'a'; rename one of them"):
            find_runs(tmp_path)


class TestTables:
    def test_p_is_corrected_over_the_whole_table(self) -> None:
        [found] = board_of(MEASURED, facts(MEASURED), baseline="base").tables
        cells = {(name, system.name): cell for system in found.systems for name, cell in system.cells.items()}
        raw = [
            paired_randomisation(HIGH, LOW).p,
            paired_randomisation(LOW, LOW).p,
            paired_randomisation(HIGH[::-1], HIGH).p,
        ]
        keys = [("one", "good"), ("one", "same"), ("two", "good")]
        assert [cells[key].p for key in keys] == holm(raw)
        assert [cells[key].verdict for key in keys] == ["higher", "", ""]
        assert cells["one", "base"].p is None
        assert cells["one", "good"].difference == pytest.approx(sum(HIGH) / 9 - sum(LOW) / 9)

    def test_those_that_were_run_on_every_set_come_first(self) -> None:
        measured = {"one": {"a": of(LOW), "b": of(HIGH), "c": of([1.0] * 9)}, "two": {"a": of(LOW), "b": of(HIGH)}}
        [found] = board_of(measured, facts(measured)).tables
        assert [(system.name, system.whole) for system in found.systems] == [("b", True), ("a", True), ("c", False)]
        assert all(cell.p is None for system in found.systems for cell in system.cells.values())

    def test_a_run_may_lack_a_measure_that_another_has(self) -> None:
        measured = {"one": {"a": of(LOW), "b": of(HIGH, measure="AP")}}
        found = board_of(measured, facts(measured), measures=["nDCG@10", "AP"]).tables
        assert [[system.name for system in each.systems] for each in found] == [["a"], ["b"]]
        with pytest.raises(SpecError, match="no measure in common"):
            board_of(measured, facts(measured))
        with pytest.raises(SpecError, match=r"no run has RR; there is nDCG@10, AP"):
            board_of(measured, facts(measured), measures=["RR"])

    def test_a_wrong_baseline_is_named_and_other_queries_are_refused(self) -> None:
        with pytest.raises(SpecError, match=r"no system 'bas' to compare with\. Did you mean 'base'"):
            board_of(MEASURED, facts(MEASURED), baseline="bas")
        measured = {"one": {"a": of(LOW), "b": of(LOW[:4])}}
        with pytest.raises(SpecError, match=r"set 'one': 'b' and the baseline were not asked the same"):
            board_of(measured, facts(measured), baseline="a")
        [found] = board_of(measured, facts(measured), baseline="a", common=True).tables
        assert found.systems[0].cells


class TestPublished:
    def test_figures_stand_beside_where_measure_and_set_are_the_same(self, tmp_path: Path) -> None:
        figures = [
            {"system": "BM25", "set": "one", "measure": "nDCG@10", "value": 0.5, "source": "a paper"},
            {"system": "BM25", "set": "elsewhere", "measure": "nDCG@10", "value": 0.5},
            {"system": "BM25", "set": "one", "measure": "AP", "value": 1},
        ]
        (tmp_path / "p.json").write_text(json.dumps(figures))
        board = board_of(MEASURED, facts(MEASURED), published=read_published(tmp_path / "p.json"))
        assert board.tables[0].published == (
            Figure(system="BM25", set="one", measure="nDCG@10", value=0.5, source="a paper"),
        )
        text = page(board, title="t", at=Path("x.html"))
        assert "published: a paper" in text
        assert text.count('<rect class="published"') == 1

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ("{", "not JSON"),
            ("{}", "a list of figures is wanted"),
            ("[1]", "entry 1: an object is wanted"),
            ('[{"system": "a", "set": ""}]', "entry 1: set, measure must be text"),
            ('[{"system": "a", "set": "b", "measure": "c", "value": NaN}]', "must be a finite number, got nan"),
            ('[{"system": "a", "set": "b", "measure": "c", "value": "1"}]', "must be a finite number, got '1'"),
            ('[{"system": "a", "set": "b", "measure": "c", "value": 1, "url": ""}]', "unknown 'url'; known"),
            (json.dumps([{"system": "a", "set": "b", "measure": "c", "value": 1}] * 2), "is there twice"),
            (None, "cannot be read"),
        ],
    )
    def test_a_wrong_file_is_explained(self, content: str | None, why: str, tmp_path: Path) -> None:
        if content is not None:
            (tmp_path / "p.json").write_text(content)
        with pytest.raises(SpecError, match=why):
            read_published(tmp_path / "p.json")


class Elements(HTMLParser):
    """Tags of a page and all values of attributes that a browser would follow or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.others: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        self.others |= {name for name, _ in attrs}


def read(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    return elements


class TestPage:
    def test_it_needs_nothing_from_elsewhere_and_holds_hostile_names(self) -> None:
        names = [HOSTILE, "javascript:alert(1)", "a b/../c", "\udcff"]
        measured = {name: {system: of(LOW) for system in names} for name in names}
        runs = {
            system: {
                name: RunFacts(
                    path=Path(name.replace("/", "")), kind="rag eval", graph=HOSTILE, command=("rag", "eval", HOSTILE)
                )
                for name in names
            }
            for system in names
        }
        published = [Figure(system=HOSTILE, set=names[0], measure="nDCG@10", value=0.1, source=HOSTILE)]
        board = board_of(measured, runs, baseline=HOSTILE, published=published)
        text = page(board, title=HOSTILE, at=Path("page.html"))
        found = read(text)
        assert found.tags.isdisjoint({"script", "img", "link", "iframe", "object", "base"})
        assert not any(name.startswith("on") for name in found.others)
        assert found.addresses
        assert all(address.startswith("./") and ":" not in address for address in found.addresses)
        assert "\u202e" not in text
        assert "default-src 'none'" in text
        assert not re.search(r"https?://|@import|url\(", text)
        text.encode("utf-8")

    def test_a_picture_is_well_formed_whatever_names_are_in_it(self) -> None:
        rows = [Bar(name=HOSTILE, value=0.5, low=0.4, high=0.6, verdict="higher", colour=9), Bar(name="x", value=2.0)]
        ET.fromstring(bars(HOSTILE, rows, most=1.0, room=100))
        shape = radar(HOSTILE, [HOSTILE, "b", "c"], [Outline(name=HOSTILE, values=(0.1, 0.2, 9.0), colour=1)], most=1)
        corners = ET.fromstring(shape).findall("polygon")[-1].attrib["points"].split()
        assert len(corners) == 3

    def test_bars_are_as_long_as_their_values(self) -> None:
        drawn = ET.fromstring(bars("t", [Bar(name="a", value=0.5), Bar(name="b", value=0.25)], most=1, room=9))
        long, short = (float(bar.attrib["width"]) for bar in drawn.findall("rect"))
        assert long == pytest.approx(2 * short)

    def test_a_radar_has_three_sets_and_a_few_systems(self) -> None:
        systems = [f"s{n}" for n in range(9)]
        two = {name: {system: of(LOW) for system in systems} for name in ("one", "two")}
        assert "over all sets" not in page(board_of(two, facts(two)), title="t", at=Path("x"))
        three = {**two, "three": {system: of(LOW) for system in systems}}
        text = page(board_of(three, facts(three), baseline="s8"), title="t", at=Path("x"))
        legend = text[text.index('<ul class="legend">') :]
        assert re.findall(r"<span>(s\d)</span>", legend) == ["s0", "s1", "s2", "s3", "s4", "s8"]
        assert len(set(re.findall(r'<i class="(c\d)">', legend))) == 6, "each has a colour of its own"

    @given(st.text(max_size=40))
    def test_no_text_gets_out_of_an_element_or_attribute(self, text: str) -> None:
        assert not set('<>"') & set(escaped(text))
        ET.fromstring(f'<a b="{escaped(text)}">{escaped(text)}</a>')
        assert fitted(text, 60) == text or fitted(text, 60).endswith("…")

    @given(st.lists(st.floats(0, 1e6), max_size=5))
    def test_a_scale_holds_all_values(self, values: list[float]) -> None:
        assert scale(values) >= max(values, default=0) * (1 - 1e-9)
        assert scale(values) > 0

    def test_links_are_relative_to_the_page(self, tmp_path: Path) -> None:
        assert link(tmp_path / "a" / "r#1?", tmp_path / "b" / "page.html") == "./../a/r%231%3F"


class TestCommand:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> Path:
        for name, values in (("one", LOW), ("two", HIGH)):
            table(
                tmp_path / "runs" / name / "base",
                values,
                graph="bm25",
                seconds=1.8,
                queries=9,
                command=["rag", "eval", name, "--out", "a b"],
            )
            table(tmp_path / "runs" / name / "good", HIGH)
        return tmp_path / "runs"

    def test_it_writes_a_page_and_says_who_is_better(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["leaderboard", str(runs), "--baseline", "base"]) == 0
        out, err = capsys.readouterr()
        assert "nDCG@10, mean over 2 sets" in out
        assert "  good 0.6222  higher on 1\n" in out
        text = (runs / "leaderboard.html").read_text()
        assert "<pre>rag eval one --out &#x27;a b&#x27;</pre>" in text
        assert "graph bm25, 0.2 s a query" in text
        assert 'href="./one/base"' in text
        assert main(["leaderboard", str(runs)]) == 0
        assert "left out" not in capsys.readouterr().err + err, "its own page is no surprise"

    def test_the_same_as_data(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["leaderboard", str(runs), "--baseline", "base", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["sets"], said["baseline"], said["level"]) == (["one", "two"], "base", 0.05)
        [found] = said["tables"]
        assert [row["system"] for row in found["systems"]] == ["good", "base"]
        assert found["systems"][0]["sets"]["one"]["verdict"] == "higher"
        assert found["systems"][1]["sets"]["one"].keys() == {"value", "queries", "low", "high"}
        assert said["runs"]["base"]["one"]["command"] == ["rag", "eval", "one", "--out", "a b"]
        assert not (runs / "leaderboard.html").exists()

    def test_trec_runs_are_measured_by_qrels_or_data_sets(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("one", "two"):
            (tmp_path / "runs" / name).mkdir(parents=True)
            (tmp_path / "runs" / name / "a.trec").write_text("q1 Q0 d2 1 2.0 x\nq1 Q0 d1 2 1.0 x\n")
            (tmp_path / "runs" / name / "b.run").write_text("q1 Q0 d1 1 2.0 x\n")
        (tmp_path / "one.qrels").write_text("q1 0 d1 1\n")
        data = tmp_path / "data" / "two"
        (data / "qrels").mkdir(parents=True)
        (data / "queries.jsonl").write_text('{"_id": "q1", "text": "Paris?"}\n')
        (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
        command = ["leaderboard", str(tmp_path / "runs"), "--measures", "RR", "--json", "--dataset", str(data.parent)]
        assert main([*command, "--qrels", f"one={tmp_path / 'one.qrels'}"]) == 0
        [found] = json.loads(capsys.readouterr().out)["tables"]
        assert [(row["system"], row["mean"]) for row in found["systems"]] == [("b", 1.0), ("a", 0.5)]
        assert main([*command, "--qrels", "three=x"]) == 2
        assert "--qrels three=x: SET=FILE is wanted, SET one of one, two" in capsys.readouterr().err
        assert main(command[:2]) == 2
        assert "a TREC run is measured by a data set; name one with --dataset" in capsys.readouterr().err

    def test_a_damaged_report_is_named(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (runs / "one" / "base" / "report.json").write_text("[")
        assert main(["leaderboard", str(runs)]) == 2
        assert "report.json is no JSON" in capsys.readouterr().err

    def test_a_page_that_cannot_be_written_is_told_before_the_work(
        self, runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (runs / "file").write_text("mine")
        assert main(["leaderboard", str(runs), "-o", str(runs / "file" / "x.html")]) == 2
        told = capsys.readouterr()
        assert f"--output '{runs / 'file' / 'x.html'}' cannot be written" in told.err
        assert told.out == "", "nothing was measured"


def test_an_evaluation_keeps_the_command_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    data = tmp_path / "sets" / "one"
    (data / "qrels").mkdir(parents=True)
    (data / "corpus.jsonl").write_text('{"_id": "d1", "text": "river Seine"}\n{"_id": "d2", "text": "river Rhine"}\n')
    (data / "queries.jsonl").write_text('{"_id": "q1", "text": "Seine"}\n')
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    command = ["eval", str(data), "--graph", "bm25", "--out", str(tmp_path / "runs" / "one" / "bm25")]
    assert main(command) == 0
    capsys.readouterr()
    assert main(["leaderboard", str(tmp_path / "runs"), "--json"]) == 0
    [run] = json.loads(capsys.readouterr().out)["runs"]["bm25"].values()
    assert run["command"] == ["rag", *command]
    assert (run["kind"], run["graph"]) == ("rag eval", "bm25")
