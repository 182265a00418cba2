"""A sweep from its words to its folder: what it gives is what rag eval gives, and no query is on both sides."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml

from plugins.lab.tests.conftest import Command, write_judgements, write_lines
from rag import SpecError
from rag.evaluate import evaluate_graph, load_beir, read_per_query
from rag.files import parse_yaml
from rag.graphs import check, load_spec
from ragline_lab.sweep.halves import divided
from ragline_lab.sweep.report import SweepReport, Tuned, front
from ragline_lab.sweep.sweep import sweep

OVER = ["fused.weights.bm25=0.1:0.9:0.4", "fused.norm=max,sum"]


def swept(folder: Path, graph: Any, out: Path, over: list[str] = OVER, **options: Any) -> SweepReport:
    return sweep(load_beir(folder), load_spec(graph), over, out=out, **options)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "lines.jsonl").read_text().splitlines()]


def only(folder: Path, place: Path, qids: list[str]) -> Path:
    """The same data with these queries alone, in this order."""
    shutil.copytree(folder, place)
    known = {query.qid: query for query in load_beir(folder).queries}
    write_lines(place / "queries.jsonl", [{"_id": qid, "text": known[qid].text} for qid in qids])
    judged = load_beir(folder).qrels("test")
    write_judgements(place, "test", {qid: next(iter(judged[qid])) for qid in qids})
    return place


def test_values_are_those_of_an_evaluation_of_each_setting_alone(
    made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path
) -> None:
    report = swept(made_up, lexical_graph, tmp_path / "out", measures=["nDCG@10", "R@5"])
    tuning, reporting = divided(load_beir(made_up).queries, 0.5)
    alone = only(made_up, tmp_path / "tuning", [query.qid for query in tuning])
    means = set()
    for number, known in enumerate(report.settings):
        graph = json.loads(json.dumps(lexical_graph))
        with_ = graph["nodes"]["fused"]["with"]
        with_["norm"] = known.changes.get("fused.norm", "max")
        with_["weights"]["bm25"] = known.changes.get("fused.weights.bm25", 0.5)
        evaluated = evaluate_graph(
            load_beir(alone), load_spec(graph), out=tmp_path / str(number), measures=["nDCG@10", "R@5"]
        )
        values: dict[str, float] = {}
        for line in lines(tmp_path / "out"):
            if line["setting"] == known.label:
                values |= line["values"]["nDCG@10"]
        assert {
            qid: values[qid] for qid in evaluated.evaluation.per_query["nDCG@10"]
        } == evaluated.evaluation.per_query["nDCG@10"]
        assert known.means["nDCG@10"] == fmean(evaluated.evaluation.per_query["nDCG@10"].values())
        assert known.queries == len(tuning)
        means.add(known.means["nDCG@10"])
    assert len(means) > 2
    assert report.result.after.per_query["nDCG@10"].keys() == {query.qid for query in reporting}


def test_only_the_chosen_one_and_the_graph_as_it_was_see_the_reporting_queries(
    made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path
) -> None:
    report = swept(made_up, lexical_graph, tmp_path / "out")
    tuning, reporting = ({query.qid for query in half} for half in divided(load_beir(made_up).queries, 0.5))
    seen: dict[str, set[str]] = {}
    for line in lines(tmp_path / "out"):
        seen.setdefault(line["setting"], set()).update(line["values"]["nDCG@10"])
    best = max(report.settings, key=lambda each: each.means["nDCG@10"])
    assert report.chosen == best
    assert best.label != "as it was", "this test wants a grid that has a better setting"
    assert {label for label, qids in seen.items() if qids & reporting} == {"as it was", best.label}
    assert all(qids >= tuning for qids in seen.values())
    compared = report.result.compared
    assert compared is not None
    assert compared.differences.keys() == reporting
    assert compared.test.difference == pytest.approx(
        fmean(report.result.after.per_query["nDCG@10"].values())
        - fmean(report.result.before.per_query["nDCG@10"].values())
    )
    assert read_per_query(tmp_path / "out" / "chosen.csv") == report.result.after.per_query
    assert read_per_query(tmp_path / "out" / "as_it_was.csv") == report.result.before.per_query
    assert report.sharing.spared == 3 * (report.sharing.settings - 1)  # all but the fusion is one


def test_a_setting_that_is_the_graph_as_it_was_is_not_run_twice(
    made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path
) -> None:
    report = swept(made_up, lexical_graph, tmp_path / "out", ["fused.weights.bm25=0.5,0.9"])
    assert [each.label for each in report.settings] == ["as it was", "fused.weights.bm25=0.9"]
    assert report.left_out == 1


def test_of_equal_settings_the_graph_as_it_was_is_kept_and_nothing_is_called_better(
    made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path
) -> None:
    report = swept(made_up, lexical_graph, tmp_path / "out", ["bm25.threads=1,3"])
    assert len({each.means["nDCG@10"] for each in report.settings}) == 1
    assert report.result.label == "as it was"
    assert report.result.compared is None
    assert report.result.verdict == "no setting was better than the graph as it was on the tuning queries"
    assert "comparison" not in report.as_dict()["result"]


def test_a_split_of_its_own_to_tune_on(made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path) -> None:
    report = swept(made_up, lexical_graph, tmp_path / "out", split="odd", tune_split="even")
    assert (report.tuning_queries, report.result.after.n_queries) == (24, 24)
    assert all(int(qid[1:]) % 2 for qid in report.result.after.per_query["nDCG@10"])
    for split, tune_split, why in (
        ("test", "odd", "24 queries are in both splits"),
        ("test", "test", "cannot be both tuned and reported on"),
        ("test", "dev", "has no split 'dev'"),
    ):
        with pytest.raises(SpecError, match=why):
            swept(made_up, lexical_graph, tmp_path / "other", split=split, tune_split=tune_split)
    assert not (tmp_path / "other").exists()


def test_halving_drops_the_worse_half_on_the_first_queries(
    made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path
) -> None:
    whole = swept(made_up, lexical_graph, tmp_path / "whole", tune=0.8)
    halved = swept(made_up, lexical_graph, tmp_path / "halved", tune=0.8, halve=True)
    n = whole.tuning_queries
    assert [(each.settings, each.queries) for each in halved.rounds] == [(6, 16), (3, n)]
    tuning, _ = divided(load_beir(made_up).queries, 0.8)
    first = [query.qid for query in tuning[: halved.rounds[0].queries]]
    scores: dict[str, list[float]] = {}
    for line in lines(tmp_path / "whole"):
        scores.setdefault(line["setting"], []).extend(
            value for qid, value in line["values"]["nDCG@10"].items() if qid in first
        )
    order = [each.label for each in whole.settings]
    kept = sorted(order, key=lambda label: (-fmean(scores[label]), order.index(label)))[:3]
    assert {each.label for each in halved.settings if each.is_whole} == set(kept)
    assert {each.queries for each in halved.settings} == {halved.rounds[0].queries, n}
    assert len(lines(tmp_path / "halved")) < len(lines(tmp_path / "whole"))


def test_the_best_graph_is_written_with_what_speaks_for_it_and_loads(
    made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path, rag: Command
) -> None:
    graph = tmp_path / "g.yaml"
    graph.write_text(yaml.safe_dump(lexical_graph))
    out = tmp_path / "out"
    code, said, _ = rag(
        "lab", "sweep", graph, "--dataset", made_up, "--over", OVER[0], "--over", OVER[1], "--out", out,
        "--measures", "ndcg_cut_10 R@5",
    )  # fmt: skip
    assert code == 0
    best = load_spec(out / "best.yaml")
    assert check(best).problems == []
    report = json.loads((out / "sweep.json").read_text())
    chosen = report["tuning"]["chosen"]
    changes = next(each["changes"] for each in report["tuning"]["settings"] if each["setting"] == chosen)
    params = best.graph.nodes["fused"].params
    assert params["norm"] == changes["fused.norm"]
    assert params["weights"] == {"bm25": changes["fused.weights.bm25"], "again": 0.5}
    text = (out / "best.yaml").read_text()
    assert f"setting: {chosen}" in text
    assert "chosen by nDCG@10 on" in text
    assert f"95% [{report['result']['comparison']['low']:+.4f}" in text
    assert report["command"][:3] == ["rag", "lab", "sweep"]
    assert report["result"]["verdict"] in said
    assert "9 of 24 nodes are run, 15 have their records from another setting" in said
    assert f"{chosen} (chosen)" in said
    assert (out / "sweep.md").read_text().count("\n| ") == 2 + 6
    assert (out / "pareto.svg").exists() == (find_spec("matplotlib") is not None)
    code, compared, _ = rag("compare", out / "as_it_was.csv", out / "chosen.csv", "--measures", "nDCG@10", "--json")
    assert code == 0
    told = json.loads(compared)["runs"]["chosen.csv"][0]
    assert (told["difference"], told["low"], told["high"], told["p"]) == tuple(
        report["result"]["comparison"][name] for name in ("difference", "low", "high", "p")
    )


def test_names_that_are_hostile_stay_within_their_comment_and_cell(
    made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path
) -> None:
    place = tmp_path / "a\nnodes: {x: 1}\n|<b>"
    shutil.copytree(made_up, place)
    graph = json.loads(json.dumps(lexical_graph).replace("again", "a|b`<i>"))
    swept(place, graph, tmp_path / "out", ["a|b`<i>.k=5,10"])
    assert parse_yaml((tmp_path / "out" / "best.yaml").read_text(), name="best").data.keys() == {
        "version", "nodes", "output",
    }  # fmt: skip
    assert check(load_spec(tmp_path / "out" / "best.yaml")).problems == []
    page = (tmp_path / "out" / "sweep.md").read_text()
    assert "a\\|b\\`\\<i\\>.k=5" in page
    assert "<b>" not in page
    assert "\nnodes" not in page


def test_answers_are_swept_too(made_up: Path, tmp_path: Path) -> None:
    folder = tmp_path / "qa"
    shutil.copytree(made_up, folder)
    items = [
        {"id": query.qid, "question": query.text, "answers": [query.text.split()[0]], "supporting_ids": ["d01"]}
        for query in load_beir(made_up).queries
    ]
    write_lines(folder / "qa.jsonl", items)
    graph = {
        "version": 1,
        "models": {"small": {"use": "llm.scripted", "with": {"replies": ["balam [1]."]}}},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 5},
            "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "small", "max_tokens": 60}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small", "max_tokens": 20}},
        },
        "output": "answer",
    }
    report = swept(folder, graph, tmp_path / "out", ["context.max_tokens=30,90"], measures=["F1", "nDCG@10"])
    assert report.measure == "F1"
    assert all({"F1", "nDCG@10"} <= each.means.keys() for each in report.settings)
    assert all(each.tokens > 0 and each.calls > 0 for each in report.settings)
    small, large = (each.tokens for each in report.settings[1:])
    assert small < large
    with pytest.raises(SpecError, match="no setting differs from the graph as it was in what nDCG@10 looks at"):
        swept(folder, graph, tmp_path / "none", ["context.max_tokens=30,90"], measures=["nDCG@10"])
    assert not (tmp_path / "none").exists()
    with pytest.raises(SpecError, match="RefusedAnswerable is better where it is lower"):
        swept(folder, graph, tmp_path / "low", ["bm25.k=3"], measures=["RefusedAnswerable"])


KILLED = """
import json, os, signal, sys
from pathlib import Path
from rag.evaluate import load_beir
from rag.graphs import load_spec
from ragline_lab.sweep.sweep import sweep

folder, graph, out, over = json.loads(sys.argv[1])

def die(what, done, total):
    if what == "tuning":
        os.kill(os.getpid(), signal.SIGKILL)

sweep(load_beir(folder), load_spec(graph), over, out=Path(out), progress=die)
"""


def test_a_sweep_that_was_killed_goes_on_and_gives_the_same(
    made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path
) -> None:
    whole = swept(made_up, lexical_graph, tmp_path / "whole")
    out = tmp_path / "out"
    given = json.dumps([str(made_up), lexical_graph, str(out), OVER])
    killed = subprocess.run([sys.executable, "-c", KILLED, given], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = (out / "lines.jsonl").read_bytes()
    assert kept.count(b"\n") == 6, "the first batch of every setting"
    with (out / "lines.jsonl").open("ab") as file:
        file.write(b'{"key":"torn by a kill')
    assert not (out / "sweep.json").exists()
    again = swept(made_up, lexical_graph, out)
    assert (out / "lines.jsonl").read_bytes().startswith(kept)
    for one, other in zip(again.settings, whole.settings, strict=True):
        assert (one.label, one.means, one.queries) == (other.label, other.means, other.queries)
    assert again.result == whole.result
    assert [line["key"] for line in lines(out)] == [line["key"] for line in lines(tmp_path / "whole")]
    length = (out / "lines.jsonl").stat().st_size
    assert swept(made_up, lexical_graph, out).settings == again.settings, (
        "nothing is run again, so seconds are the same"
    )
    assert (out / "lines.jsonl").stat().st_size == length


def test_a_folder_of_another_sweep_is_refused(made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    swept(made_up, lexical_graph, out)
    changed = json.loads(json.dumps(lexical_graph))
    changed["nodes"]["bm25"]["k"] = 10
    data = tmp_path / "more"
    shutil.copytree(made_up, data)
    with (data / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "new", "title": "", "text": "balam"}\n')
    judged = tmp_path / "judged"
    shutil.copytree(made_up, judged)
    write_judgements(judged, "test", {"q00": "d00", **{f"q{n:02d}": f"d{n:02d}" for n in range(1, 48)}})
    before = (out / "lines.jsonl").read_bytes()
    for folder, graph, over, options, what in (
        (made_up, changed, OVER, {}, "another graph or grid"),
        (made_up, lexical_graph, [*OVER, "wider.terms=5"], {}, "another graph or grid"),
        (data, lexical_graph, OVER, {}, "another index, another data set"),
        (judged, lexical_graph, OVER, {}, "another data set"),
        (made_up, lexical_graph, OVER, {"measures": ["AP"]}, "another measures"),
        (made_up, lexical_graph, OVER, {"tune": 0.4}, "another division of queries"),
        (made_up, lexical_graph, OVER, {"halve": True}, "another division of queries"),
    ):
        with pytest.raises(SpecError, match=what):
            swept(folder, graph, out, over, **options)
    assert (out / "lines.jsonl").read_bytes() == before
    (out / "run.json").write_text("[]")
    with pytest.raises(SpecError, match="is no file of a sweep, or it is damaged"):
        swept(made_up, lexical_graph, out)
    (out / "run.json").unlink()
    with pytest.raises(SpecError, match="nobody knows what made them"):
        swept(made_up, lexical_graph, out)


def test_a_line_that_was_edited_is_refused(made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path) -> None:
    swept(made_up, lexical_graph, tmp_path / "out")
    file = tmp_path / "out" / "lines.jsonl"
    file.write_text(file.read_text().replace('"failed":0', '"failed":1', 1))
    with pytest.raises(SpecError, match=r"lines\.jsonl:1 is damaged"):
        swept(made_up, lexical_graph, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_told_before_the_index_is_built(
    made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SpecError, match="is no folder that can be written in"):
        swept(made_up, lexical_graph, tmp_path / "file" / "below")
    assert not (tmp_path / "home").exists()


def test_lines_that_cannot_be_written(made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path) -> None:
    swept(made_up, lexical_graph, tmp_path / "out")
    (tmp_path / "out" / "lines.jsonl").unlink()
    (tmp_path / "out" / "lines.jsonl").mkdir()
    with pytest.raises(SpecError, match="is no folder that can be written in"):
        swept(made_up, lexical_graph, tmp_path / "out")


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ("fusde.k=1,2", "no node of the graph has this name. Did you mean 'fused'"),
        ("fused.norm=maximum", "with fused.norm=maximum: "),
        ("fused.k=3:1:1", "the grid is empty"),
        ("fused.k=1:2000:1", "has more than 1,000 values"),
    ],
)
def test_bad_input_ends_before_anything_is_written(
    over: str, why: str, made_up: Path, lexical_graph: dict[str, Any], tmp_path: Path, rag: Command
) -> None:
    graph = tmp_path / "g.yaml"
    graph.write_text(yaml.safe_dump(lexical_graph))
    code, said, told = rag("lab", "sweep", graph, "--dataset", made_up, "--over", over, "--out", tmp_path / "out")
    assert (code, said) == (2, "")
    assert why in told
    assert not (tmp_path / "out").exists()


def known(label: str, quality: float, seconds: float, tokens: float, *, is_whole: bool = True) -> Tuned:
    return Tuned(
        label=label, changes={}, means={"AP": quality}, queries=9, failed=0, seconds=seconds, calls=0, tokens=tokens,
        is_whole=is_whole,
    )  # fmt: skip


def test_the_front_has_what_nothing_else_is_better_than() -> None:
    settings = [
        known("best", 0.9, 3.0, 100),
        known("cheap", 0.5, 1.0, 10),
        known("worse", 0.4, 1.05, 10),  # hardly slower than cheap
        known("slow", 0.9, 3.4, 100),  # as good as best, and slower by more than seconds vary
        known("alike", 0.9, 3.1, 100),
        known("few", 0.99, 0.1, 1, is_whole=False),
    ]
    assert [each.label for each in front(settings, "AP")] == ["best", "cheap", "alike"]
