"""Benchmarks of recipes with a model behind a server: what is run, what is told as missed, and what a line says."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import record
from benchmarks.graphs import llm, llm_part
from benchmarks.model_server import URL, add_model
from benchmarks.recipes import ROWS, Row, main, run_all
from benchmarks.work_lines import Component, Setup
from generators.llm import LLMS
from generators.llm.transformers import TransformersLLM
from rag.core.powers import LacksPower
from rag.core.types import Message, SamplingParams
from rag.graph.build import build
from rag.graph.load import load_spec
from rag.stages import REFORMULATORS
from rerankers import RERANKERS
from tests.generators.llm.conftest import save_random_model
from tests.generators.llm.serving import MODEL, Served, serving

ROOT = Path(__file__).resolve().parents[2]
TOY = """
import argparse, json, os, signal
from pathlib import Path
parser = argparse.ArgumentParser()
for name in ("--model", "--n", "--work"):
    parser.add_argument(name)
given = parser.parse_args()
path = Path(given.work)
done = path.read_text().splitlines() if path.exists() else []
with path.open("a") as out:
    for number in range(len(done), int(given.n)):
        out.write(json.dumps({"qid": str(number), "settings": given.model}) + "\\n")
        out.flush()
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
print("all is told")
"""


@pytest.fixture(autouse=True)
def _no_served_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test names by --url is no component of the tests that follow."""
    monkeypatch.setattr(LLMS, "_table", dict(LLMS._table))
    monkeypatch.delenv(URL, raising=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TransformersLLM:
    folder = save_random_model(tmp_path_factory.mktemp("served"))
    return TransformersLLM(model=str(folder), device="cpu", dtype="float32")


@pytest.fixture
def server(model: TransformersLLM, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serving(model) as served:
        monkeypatch.setenv(URL, served.url)
        yield served


def toys(folder: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> list[Row]:
    """Rows of modules of our own."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    return [Row(module=name, systems="Toy") for name in modules]


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_a_row_names_a_benchmark_that_takes_the_model_and_where_its_lines_go(row: Row) -> None:
    study = (ROOT / "benchmarks" / "methods_study.py").read_text(encoding="utf-8")
    text = ROOT.joinpath(*row.module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    assert f'"{row.size}"' in text
    assert "parsed(" in text or ("add_model(" in text and f'"{row.keeps}"' in text)
    assert f'RESULTS / "{row.lines}"' in (text if row.name != "methods" else study)


def test_what_fails_is_told_and_the_others_go_on_and_a_second_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = toys(tmp_path, monkeypatch, killed=TOY, wrong="raise SystemExit('no data of this set')", quiet="exit(3)")
    logs = tmp_path / "logs"
    assert run_all(rows, "m", 4, tmp_path, logs) == {
        "killed": "ended by signal 9",
        "wrong": "no data of this set",
        "quiet": "ended with 3 and said nothing",
    }
    assert "killed: missed, 2 lines more" in capsys.readouterr().out
    assert run_all(rows[:1], "m", 4, tmp_path, logs) == {}
    assert "killed: done, 2 lines more" in capsys.readouterr().out
    lines = (tmp_path / "killed.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["qid"] for line in lines] == ["0", "1", "2", "3"]
    assert (logs / "killed.txt").read_text(encoding="utf-8") == "all is told\n"


def test_a_plan_says_what_would_be_run_and_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mentions.jsonl").write_text('{"settings": "x {\\"model\\": \\"big\\"}"}\n{"settings": "x small"}\n')
    assert main(["mentions", "walks", "--model", "big", "--n", "5", "--work", str(tmp_path), "--plan"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2 rows by big, in the engine of each benchmark, at most 5 questions of each set")
    assert said[1].endswith(
        f"1 lines of this model are there; -m plugins.recipes.benchmarks.mentions --model big --most 10 "
        f"--work {tmp_path / 'mentions.jsonl'}"
    )
    assert not (tmp_path / "walks.jsonl").exists()


def test_a_model_and_a_known_row_have_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, told in (
        (["walks"], "name the model"),
        (["walk", "--model", "m"], "no way walk; there are multi_step"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert told in capsys.readouterr().err


def test_where_no_server_answers_nothing_is_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(URL, "http://127.0.0.1:9/v1")
    assert main(["walks", "--model", "m"]) == 2
    assert "127.0.0.1:9" in capsys.readouterr().err


def test_the_address_takes_the_place_of_every_engine(server: Served) -> None:
    parser = argparse.ArgumentParser()
    add_model(parser, default=None)
    given = parser.parse_args(["--model", MODEL, "--url", server.url])
    assert llm_part(given.model, "vllm_offline") == llm_part("tiny", "transformers")
    assert llm_part(given.model, "llama_cpp") == {"use": "llm.served", "with": {"model": MODEL}}
    assert llm_part("scripted", "vllm_offline")["use"] == "llm.scripted"
    asked = [Message(role="user", content="Hi.")]
    [said] = llm(given.model, "transformers").complete([asked], SamplingParams(max_tokens=3))
    assert said.completion_tokens <= 3
    assert len(server.posts("/v1/chat/completions")) == 1


def test_lines_say_the_model_and_not_where_it_is_served(
    model: TransformersLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for _ in range(2):
        with serving(model) as served:
            monkeypatch.setenv(URL, served.url)
            part = llm_part(MODEL, "transformers")
            component = Component(REFORMULATORS.get("hyde"), llm=part, n=1, temperature=0.0)
            nodes = {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "writer"}}}
            graph = {"version": 1, "models": {"writer": part}, "nodes": nodes, "output": "answer"}
            setups = [Setup.of(component), Setup.of(build(load_spec(graph), index=None))]
            assert not any(served.url in str(setup.facts) for setup in setups)
            assert all(MODEL in setup.settings for setup in setups)
            made.append(setups)
    assert made[0] == made[1], "another port is no other setup"


def test_what_the_server_cannot_do_is_said_at_once(server: Served) -> None:
    server.owner = "somebody"
    with pytest.raises(LacksPower, match="its server is not vLLM"):
        RERANKERS.get("yes_no")(llm=llm(MODEL, "transformers"))


def test_a_served_model_walks_and_after_that_is_asked_no_more(server: Served, tmp_path: Path) -> None:
    """The whole of it: the command, a benchmark in its process, a real model behind a real server, and lines."""
    data = tmp_path / "data" / "pathquestion"
    data.mkdir(parents=True)
    (data.parent / "MANIFEST.md").write_text("One set.", encoding="utf-8")
    triples = ["head\trelation\ttail", "ann\tmother\tbea", "bea\tborn_in\toslo", "ann\tborn_in\trome"]
    triples += [f"cy{number}\tborn_in\trome" for number in range(10)]  # as many as BM25 beside it tells
    (data / "triples-2h.tsv").write_text("\n".join(triples) + "\n", encoding="utf-8")
    path = [["ann", "mother", "bea"], ["bea", "born_in", "oslo"]]
    item = {
        "id": "1",
        "question": "where is ann 's mother from ?",
        "answers": ["oslo"],
        "topic_entity": "ann",
        "path": path,
    }
    with gzip.open(data / "qa-2h.jsonl.gz", "wt", encoding="utf-8") as out:
        out.write(json.dumps({**item, "hops": 2}) + "\n")
    command = [sys.executable, "-m", "benchmarks.recipes", "walks", "--model", MODEL, "--n", "1", "--url", server.url]
    command += ["--work", str(tmp_path), "--logs", str(tmp_path / "logs")]
    env = {**os.environ, "RAGLINE_EVAL_DATA": str(data.parent), "OMP_NUM_THREADS": "1"}
    first = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (first.returncode, first.stderr) == (0, ""), (tmp_path / "logs" / "walks.txt").read_text(encoding="utf-8")
    assert "1 of 1 rows are done" in first.stdout
    lines = [json.loads(line) for line in (tmp_path / "walks.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["method"] for line in lines] == ["chance", "words", "walk", "shown"]
    asked = [line for line in lines if MODEL in line["settings"]]
    assert [line["calls"] > 0 for line in asked] == [True, True]
    assert all(line["commit"] == record.commit() and server.url not in json.dumps(line) for line in lines)
    n = len(server.asked)
    again = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "walks: done, 0 lines more" in again.stdout
    assert len(server.asked) == n, "what has a line is not asked again"
