"""`--url` and `--model`: another model writes than the graph's, here one behind a server of our own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from plugins.serve.tests.asking import DEADLINE_S
from rag.cli import main
from rag.core.run_folder import graph_key
from tests.scripted_graph import graph

HERE, THERE = "It is so [1].", "From the other model [1]."


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(graph()))
    return path


@pytest.fixture
def other_model(tmp_path: Path) -> Iterator[str]:
    """Where a model of that name is served which always says the same."""
    path = tmp_path / "other.yaml"
    parts = graph(replies=[THERE])
    parts["nodes"] = {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "small"}}}
    path.write_text(yaml.safe_dump(parts))
    command = [sys.executable, "-m", "rag", "serve", "--graph", str(path), "--port", "0", "--name", "other-model"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            address = running.stderr.readline().split(" at ")[1].split(" (")[0]
            yield f"{address}/v1"
        finally:
            running.kill()


def test_ask_and_batch_write_with_it(
    capsys: pytest.CaptureFixture[str], graph_file: Path, index: Path, other_model: str, tmp_path: Path
) -> None:
    place = ("--graph", str(graph_file), "--index", str(index))
    assert main(["ask", "warranty", *place]) == 0
    assert HERE in capsys.readouterr().out
    assert main(["ask", "warranty", *place, "--url", other_model]) == 0
    assert THERE in capsys.readouterr().out
    (tmp_path / "questions.txt").write_text("warranty\n")
    out, questions = tmp_path / "run", str(tmp_path / "questions.txt")
    writer = ("--url", other_model, "--model", "other-model")
    assert main(["batch", questions, *place, *writer, "--out", str(out)]) == 0
    [line] = (out / "answers.jsonl").read_text().splitlines()
    assert json.loads(line)["answer"] == THERE


def test_a_run_is_not_gone_on_with_by_another_model(
    capsys: pytest.CaptureFixture[str], graph_file: Path, index: Path, other_model: str, tmp_path: Path
) -> None:
    (tmp_path / "questions.txt").write_text("warranty\nleave\n")
    place = ("--graph", str(graph_file), "--index", str(index), "--out", str(tmp_path / "run"))
    assert main(["batch", str(tmp_path / "questions.txt"), *place, "--limit", "1"]) == 0
    assert main(["batch", str(tmp_path / "questions.txt"), *place, "--resume", "--url", other_model]) == 2
    assert "was made with another graph" in capsys.readouterr().err


def test_a_server_with_another_model_is_found_by_commands_that_want_the_same(
    capsys: pytest.CaptureFixture[str],
    graph_file: Path,
    index: Path,
    other_model: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # a socket's path may not be long
    place = ["--graph", str(graph_file), "--index", str(index)]
    command = [sys.executable, "-m", "rag", "serve", *place, "--port", "0", "--url", other_model]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            assert "Ctrl-C" in running.stderr.readline()
            assert graph_key(str(graph_file)) != graph_key(str(graph_file), url=other_model)
            imports = [sys.executable, "-X", "importtime", "-m", "rag", "ask", "warranty", *place]
            with_it = subprocess.run(
                [*imports, "--url", other_model], capture_output=True, text=True, timeout=DEADLINE_S, check=True
            )
            assert THERE in with_it.stdout
            assert "numpy" not in with_it.stderr
            assert main(["ask", "warranty", *place]) == 0
            assert HERE in capsys.readouterr().out
        finally:
            running.kill()
