"""The page is written from lines alone: made-up lines here, with differences that are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import work_lines
from benchmarks.methods_list import Cell, cells
from benchmarks.methods_plot import Point, plot
from benchmarks.methods_sets import SETS
from benchmarks.methods_study import STUDIES, Study
from benchmarks.methods_table import DOCS, Row, bad_calls, page, points, rows_of, write_pages
from benchmarks.work_lines import Setup, Work
from rag.evaluate.significance import holm, paired_randomisation


def cell(method: str, name: str = "scifact", first: str = "bm25") -> Cell:
    (found,) = (c for c in cells() if c.method.name == method and c.declared.name == name and first in c.firsts)
    return found


def add(work: Work, of: Cell, first: str, values: Sequence[float], *, outcome: str = "ok") -> None:
    for number, value in enumerate(values):
        work.add(
            {
                "method": of.method.name,
                "set": of.declared.name,
                "first": first,
                "qid": f"q{number}",
                **dict.fromkeys(of.declared.measures, value),
                "outcome": outcome,
                "counts": {"calls": 4, "ok": 3, "repaired": 1},
                "calls": 4,
                "prompt": 100,
                "cached": 10,
                "new": 0,
                "seconds": 0.5,
            },
            Setup.of(settings=of.method.settings(of.declared.name, first)),
        )


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Twenty queries of scifact: one method wins on all, one loses on all, one changes nothing in the mean."""
    made = Work(tmp_path / "lines.jsonl")
    add(made, cell("plain"), "bm25", [0.5] * 20)
    add(made, cell("query likelihood"), "bm25", [0.6] * 20)
    add(made, cell("yes or no"), "bm25", [0.4] * 20)
    add(made, cell("graded, expected"), "bm25", [0.4, 0.6] * 10)
    return made


def row(work: Work, method: str, name: str = "scifact") -> Row:
    (found,) = (row for row in rows_of(SETS[name], work) if row.cell.method.name == method)
    return found


def test_a_gain_a_loss_and_no_difference_are_called_so(work: Work) -> None:
    assert row(work, "query likelihood").verdict == "gains"
    assert row(work, "yes or no").verdict == "loses"
    assert row(work, "graded, expected").verdict == "inside"
    assert row(work, "plain").verdict == ""


def test_p_is_corrected_over_the_methods_of_the_set(work: Work) -> None:
    alone = [paired_randomisation([v] * 20, [0.5] * 20).p for v in (0.6, 0.4)]
    alone.append(paired_randomisation([0.4, 0.6] * 10, [0.5] * 20).p)
    found = [row(work, name).p for name in ("query likelihood", "yes or no", "graded, expected")]
    assert found == holm(alone)
    assert found[0] > alone[0]


def test_a_difference_that_does_not_outlast_the_correction_is_called_so(tmp_path: Path) -> None:
    work = Work(tmp_path / "lines.jsonl")
    add(work, cell("plain"), "bm25", [0.5] * 5)
    add(work, cell("query likelihood"), "bm25", [0.6] * 5)  # five queries: p is at least 1/16
    assert row(work, "query likelihood").verdict == "gains, not after correction"


def test_few_queries_say_nothing_and_are_called_unfinished(tmp_path: Path) -> None:
    work = Work(tmp_path / "lines.jsonl")
    add(work, cell("plain"), "bm25", [0.5] * 2)
    add(work, cell("query likelihood"), "bm25", [0.9] * 2)
    assert row(work, "query likelihood").verdict == "too few queries"
    assert "| query likelihood | bm25 | 2, unfinished |" in page(work)
    assert points(work) == []


def test_only_queries_of_both_are_compared(tmp_path: Path) -> None:
    work = Work(tmp_path / "lines.jsonl")
    add(work, cell("plain"), "bm25", [0.5] * 6)
    add(work, cell("query likelihood"), "bm25", [0.6] * 6 + [0.0] * 6)
    against = row(work, "query likelihood").against
    assert against is not None
    assert against.difference == pytest.approx(0.1)


def test_lines_of_other_settings_do_not_count(work: Work, tmp_path: Path) -> None:
    old = Work(tmp_path / "old.jsonl")
    for line in work.latest("plain", "scifact", cell("plain").method.settings("scifact", "bm25")):
        old.add(line, Setup.of(settings="of another time"))
    assert rows_of(SETS["scifact"], old) == []


def test_the_page_says_what_is_missing_and_what_is_wiring(work: Work) -> None:
    add(work, cell("cross-encoder, random weights"), "bm25", [0.1] * 20)
    text = page(work)
    assert "**Unfinished**: 100 of " in text
    assert "cross-encoder, random weights (wiring only)" in text
    assert "Not run yet:" in text
    assert "tournament (bm25)" in text.partition("Not run yet:")[2].partition("\n")[0]
    assert "cross-encoder" not in {point.name.partition(",")[0] for point in points(work)}


def test_an_oracle_is_called_so_and_is_not_in_the_picture(work: Work) -> None:
    for name in ("GenQREnsemble-RF", "GenQREnsemble-RF, oracle"):
        add(work, cell(name), "bm25", [0.7] * 20)
    assert "| GenQREnsemble-RF, oracle (shown the judgements) | bm25 | 20 |" in page(work)
    assert {point.name for point in points(work) if "GenQR" in point.name} == {"GenQREnsemble-RF"}


def test_seconds_of_another_machine_are_left_out(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert row(work, "query likelihood").seconds == 0.5
    monkeypatch.setattr(work_lines, "machine", lambda: {"cpu": "another"})
    add(Work(tmp_path / "lines.jsonl"), cell("tournament"), "bm25", [0.7] * 20)
    both = Work(tmp_path / "lines.jsonl")
    assert (row(both, "query likelihood").seconds, row(both, "tournament").seconds) == (None, 0.5)
    assert {point.name for point in points(both)} == {"tournament"}
    told = {line.partition("|")[2].split(" |")[0].strip(): line[-4:] for line in page(both).splitlines()}
    assert (told["query likelihood"], told["tournament"]) == (" - |", "50 |")


def test_rewriting_a_corpus_is_compared_with_the_corpus_as_it_was(tmp_path: Path) -> None:
    work = Work(tmp_path / "lines.jsonl")
    add(work, cell("plain", "cosqa-300"), "bm25", [0.5] * 20)
    add(work, cell("plain", "cosqa-300"), "bm25-rewritten", [0.7] * 20)
    before, after = rows_of(SETS["cosqa-300"], work)
    assert before.against is None
    assert after.against is not None
    assert after.against.difference == pytest.approx(0.2)


def test_bad_calls_are_a_share_of_all_calls() -> None:
    counted = {"calls": 10, "counts": {"calls": 10, "ok": 7, "repaired": 2, "fallback": 1, "missing": 9}}
    assert bad_calls([counted, {"calls": 10, "counts": {"calls": 10, "ok": 10}}]) == "15.0%"
    assert bad_calls([{"calls": 0, "counts": {}}]) == ""


def test_calls_of_lines_without_a_count_are_calls_too() -> None:
    clean = {"calls": 2, "counts": {}}
    assert (
        bad_calls([clean] * 19 + [{"calls": 2, "counts": {"calls": 2, "ok": 1, "fallback": 1, "empty": 1}}]) == "2.5%"
    )


def test_a_prompt_that_was_too_long_to_be_sent_is_bad_and_asked() -> None:
    assert (
        bad_calls([{"calls": 3, "counts": {"calls": 3, "ok": 3}}, {"calls": 0, "counts": {"too_long": 1}}]) == "25.0%"
    )


def test_the_plot_has_a_dot_for_every_method_and_reads_as_xml() -> None:
    from xml.etree import ElementTree as ET

    better = Point(name="a < b", kind="rerank", seconds=0.0, gain=0.1, low=0.0, high=0.2)
    worse = Point(name="c", kind="rerank", seconds=9, gain=-1, low=-1.1, high=-0.9)
    drawn = plot([worse, better])
    root = ET.fromstring(drawn)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "c"} <= set(texts)
    dots = [circle.attrib for circle in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert [dot["cy"] for dot in dots[:4]] == ["82.0", "82.0", "106.0", "106.0"]  # a row for each, gain and seconds
    assert float(dots[2]["cx"]) < float(dots[0]["cx"])
    ET.fromstring(plot([]))


def test_two_models_share_a_row_and_the_last_one_orders_them() -> None:
    from xml.etree import ElementTree as ET

    made = [("a", "small", 0.9), ("a", "large", 0.1), ("b", "large", 0.2), ("c", "small", 0.8)]
    drawn = plot(
        [Point(name=n, kind="rerank", seconds=1, gain=g, low=g, high=g, model=m) for n, m, g in made],
        ["small", "large"],
    )
    names = [text.text for text in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert [name for name in names if name in ("a", "b", "c")] == ["b", "a", "c"]
    dots = [circle.attrib for circle in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}circle")]
    of_rows = [dot for dot in dots if float(dot["cy"]) > 70]
    assert sum(dot["fill"] == "white" for dot in of_rows) == 4
    assert len(of_rows) == 8


def test_a_points_interval_is_of_the_mean_over_sets(work: Work) -> None:
    (level,) = (point for point in points(work) if point.name == "graded, expected")
    assert level.gain == pytest.approx(0.0)
    half = 1.96 * (0.1**2 * 20 / 19 / 20) ** 0.5
    assert (level.low, level.high) == (pytest.approx(-half), pytest.approx(half))
    assert points(work, over="hybrid") == []


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_the_committed_page_is_that_of_its_lines(study: Study, tmp_path: Path) -> None:
    """Lines of before digests are read as if today's methods had made them: to run them anew is what makes them so."""
    today = {
        (c.method.name, c.declared.name, first): c.method.settings(c.declared.name, first, study)
        for c in cells(study)
        for first in c.firsts
    }
    lines = [json.loads(text) for text in study.lines.read_text(encoding="utf-8").splitlines()]
    last = {(line["method"], line["set"], line["first"]): line["settings"] for line in lines}
    work = tmp_path / study.lines.name
    with work.open("w", encoding="utf-8") as stream:
        for line in lines:
            key = line["method"], line["set"], line["first"]
            if line["settings"] == last[key]:
                made = {
                    "digests": dict.fromkeys(("component", "prompts", "data"), ""),
                    "machine": {"cpu": line.get("cpu")},
                }
                stream.write(json.dumps({**made, **line, "settings": today[key]}) + "\n")
    write_pages(Work(work), tmp_path, study)
    for name in (f"{study.page}.md", f"{study.page}.svg"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (DOCS / name).read_text(encoding="utf-8")
