"""`rag lab lost` and `rag lab diff`, from real evaluations to what they print."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from plugins.lab.tests.lost.small_run import FIRST, SECOND, data_set, run_folder
from rag.cli import main
from rag.evaluate import Trail, Trails
from ragline_lab.lost.fate import LABELS

TEXTS = ["river Seine", "river Rhine", "river", "mountain"]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """A data set, and the folders of two evaluations on it: BM25 of three hits, and of one."""
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    data = tmp_path / "rivers"
    (data / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "text": text} for n, text in enumerate(TEXTS, start=1)]
    queries = [{"_id": "q1", "text": "river Seine"}, {"_id": "q2", "text": "Rhine"}]
    (data / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in corpus))
    (data / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in queries))
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td3\t1\nq1\td4\t1\nq2\td2\t1\n")
    for name, k in (("three", 3), ("one", 1)):
        (tmp_path / f"{name}.yaml").write_text(
            f"version: 1\nnodes:\n  bm25: {{use: retrieve.bm25, in: query, k: {k}}}\noutput: bm25\n"
        )
        assert main(["eval", str(data), "--graph", str(tmp_path / f"{name}.yaml"), "--out", str(tmp_path / name)]) == 0
    return data, tmp_path / "three", tmp_path / "one"


def test_lost(places: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, three, _ = places
    capsys.readouterr()
    command = ["lab", "lost", str(three), "--dataset", str(data)]
    assert main([*command, "--out", str(tmp_path / "page")]) == 0
    shown = capsys.readouterr().out
    assert "4 relevant documents of 2 queries, k = 10." in shown
    assert "found by bm25 3, no leg 1" in shown
    assert "d4: never found" in shown
    assert f"page: {tmp_path / 'page' / 'lost.html'}" in shown
    assert "never found" in (tmp_path / "page" / "lost.html").read_text()
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels"]["never found"] == {"documents": 1, "nodes": {}}
    assert told["labels"]["kept"]["documents"] == 3
    assert list(told["labels"]) == list(LABELS)
    assert told["nodes"] == [
        {"node": "bm25", "use": "retrieve.bm25", "in": [], "k": 3, "depth": None, "on_the_way": True,
         "among_first_k": 3, "at_any_rank": 3},
    ]  # fmt: skip
    assert main([*command, "--json", "-k", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"]["too low"] == {"documents": 1, "nodes": {"bm25": 1}}


def test_diff(places: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, three, one = places
    capsys.readouterr()
    command = ["lab", "diff", str(three), str(one), "--dataset", str(data)]
    assert main([*command, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "one against three" in shown
    assert "nDCG@10" in shown
    assert "at the end 0 documents gained, 1 lost" in shown
    assert "lost, first at bm25 (kept -> never found)" in shown
    assert "first at" in (tmp_path / "diff.html").read_text()
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["gained"], told["lost"], told["first_at"]) == (0, 1, {"bm25": {"gained": 0, "lost": 1}})
    assert {one["measure"] for one in told["measures"]} == {"nDCG@10", "R@100", "AP"}


def test_a_run_beside_its_copy_is_nothing(
    places: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, three, _ = places
    shutil.copytree(three, tmp_path / "copy")
    capsys.readouterr()
    assert main(["lab", "diff", str(three), str(tmp_path / "copy"), "--dataset", str(data), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["gained"], told["lost"], told["moves"], told["only_before"], told["only_after"]) == (0, 0, [], [], [])
    assert {one["difference"] for one in told["measures"]} == {0.0}
    assert main(["lab", "diff", str(three), str(three), "--dataset", str(data)]) == 2
    assert "a run beside itself says nothing" in capsys.readouterr().err


def test_runs_without_a_node_in_common_that_end_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = data_set(tmp_path / "data", {"q1": {"d": 1}})
    for name in ("bm25", "dense"):
        graph = {"version": 1, "nodes": {name: {"use": f"retrieve.{name}", "k": 1}}, "output": name}
        trail = Trail(qid="q1", question="the first question", nodes={name: (("d",),)})
        run_folder(tmp_path / name, Trails(depths={}, queries=(trail,)), graph)
    assert main(["lab", "diff", str(tmp_path / "bm25"), str(tmp_path / "dense"), "--dataset", str(data)]) == 0
    assert "at the end 0 documents gained, 0 lost" in capsys.readouterr().out


def test_runs_of_different_queries_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = data_set(tmp_path / "data")
    whole = run_folder(tmp_path / "whole")
    part = run_folder(tmp_path / "part", Trails(depths={"ranked": 3}, queries=(FIRST, SECOND)))
    command = ["lab", "diff", str(whole), str(part), "--dataset", str(data)]
    assert main(command) == 2
    assert "'part' and the baseline were not asked the same: 1 queries have CitationRecall" in capsys.readouterr().err
    assert main([*command, "--common"]) == 0
    assert "0 documents gained, 0 lost" in capsys.readouterr().out
    (part / "per_query.csv").unlink()
    assert main(command) == 2
    assert "has no per_query.csv. `rag eval` writes it; run it again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--queries", "-1"], "--queries must be 0 or more, got -1"),
        (["--out", "{file}"], "is no folder that can be written in"),
        (["--out", "{file}/below"], "is no folder that can be written in"),
        (["--split", "dev"], "has no split 'dev'"),
    ],
)
def test_wrong_options(more: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    more = [word.replace("{file}", str(tmp_path / "file")) for word in more]
    run, data = run_folder(tmp_path / "run"), data_set(tmp_path / "data")
    assert main(["lab", "lost", str(run), "--dataset", str(data), *more]) == 2
    assert why in capsys.readouterr().err


def test_hostile_names_reach_the_terminal_plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from plugins.lab.tests.lost.test_pages import hostile

    hostile(tmp_path)
    assert main(["lab", "lost", str(tmp_path / "one"), "--dataset", str(tmp_path / "data")]) == 0
    shown = capsys.readouterr().out
    assert "\u202e" not in shown
    assert "fell" in shown
