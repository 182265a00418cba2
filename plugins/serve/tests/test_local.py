"""`rag search` and `rag ask` find a server of the same index and graph, and say what they say without it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from generators.llm.scripted import ScriptedLLM
from plugins.serve.tests.asking import DEADLINE_S
from plugins.serve.tests.test_generations import build
from rag.cli import main
from rag.cli.options import PATIENCE_S
from rag.core.run_folder import graph_key, socket_of
from rag.pipeline import load_pipeline
from ragline_serve.service.generations import Current
from ragline_serve.service.local import AT_ONCE, LocalDoor
from tests.scripted_graph import graph

THERE, HERE = "From the server [1].", "It is so [1]."


@pytest.fixture(autouse=True)
def run_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder / "ragline"


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(graph()))
    return path


@contextmanager
def door(graph_file: Path, index: Path, reply: str | None = THERE) -> Iterator[LocalDoor]:
    """A door. Its model says another thing than that of the graph's file, which shows who answered; None: the same."""
    with load_pipeline(str(graph_file), index=index) as pipeline:
        if reply is not None:
            pipeline.graph.parts["answer"].llm = ScriptedLLM(replies=(reply,))
        current = Current({"small": pipeline})
        key = partial(graph_key, patience=PATIENCE_S)
        with LocalDoor(os.path.realpath(index), {"small": str(graph_file)}, current.use, key=key) as standing:
            yield standing


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err.removeprefix("Opening the index ...\n")  # a server has it open


def steady(out: str) -> Any:
    """A document without the times in it."""
    return json.loads(re.sub(r'"seconds": [0-9.e-]+', '"seconds": 0', out))


def test_the_server_answers_and_the_output_is_the_same(
    capsys: pytest.CaptureFixture[str], graph_file: Path, index: Path
) -> None:
    place = ("--graph", str(graph_file), "--index", str(index))
    ask, search = ("ask", "How long is the warranty?", *place), ("search", "warranty", *place, "-k", "2")
    alone = [run(capsys, *ask), run(capsys, *search)]
    alone_json = [steady(run(capsys, *command, "--json")[1]) for command in (ask, search)]
    assert HERE in alone[0][1]
    with door(graph_file, index, reply=None):
        assert [run(capsys, *ask), run(capsys, *search)] == alone
        assert [steady(run(capsys, *command, "--json")[1]) for command in (ask, search)] == alone_json
    with door(graph_file, index):
        assert THERE in run(capsys, *ask)[1]
        assert THERE in run(capsys, *ask, "--json")[1]
        assert HERE in run(capsys, *ask, "--no-server")[1]
    assert run(capsys, *ask) == alone[0]


def test_errors_and_filters_of_the_server_are_those_of_the_command(
    capsys: pytest.CaptureFixture[str], graph_file: Path, index: Path
) -> None:
    place = ("--graph", str(graph_file), "--index", str(index))
    commands = [
        ("ask", "warranty", *place, "--where", "colour = red"),
        ("search", "warranty", *place, "--where", "source ="),
        ("search", "warranty", *place, "--where", "source = texts/d09.md", "--where", "source != texts/d01.md"),
    ]
    with door(graph_file, index):
        there = [run(capsys, *command) for command in commands]
    assert there == [run(capsys, *command) for command in commands]
    assert [code for code, _, _ in there] == [2, 2, 0]


def test_another_graph_or_generation_is_not_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    index, file = build(tmp_path, "bicycle"), tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(graph()))
    ask = ("ask", "wheels", "--graph", str(file), "--index", str(index))
    with door(file, index):
        assert THERE in run(capsys, *ask)[1]
        shutil.copy(file, tmp_path / "copy.yaml")
        other = ("ask", "wheels", "--graph", str(tmp_path / "copy.yaml"), "--index", str(index))
        assert HERE in run(capsys, *other)[1]
        build(tmp_path, "tricycle")  # this door does not follow its index
        assert HERE in run(capsys, *ask)[1]
    with door(file, index):
        file.write_text(file.read_text() + "\n# changed\n")
        assert HERE in run(capsys, *ask)[1]


def test_a_graph_whose_own_prompt_may_have_changed_is_not_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, index: Path
) -> None:
    import prompts

    prompt = tmp_path / "mine.yaml"
    shutil.copy(Path(prompts.__file__).parent / "library" / "answer_cited.yaml", prompt)
    made, file = graph(), tmp_path / "own.yaml"
    made["nodes"]["answer"]["with"]["prompt"] = str(prompt)
    file.write_text(yaml.safe_dump(made))
    with door(file, index):
        assert HERE in run(capsys, "ask", "warranty", "--graph", str(file), "--index", str(index))[1]


def test_a_folder_that_others_may_enter_is_not_used(
    capsys: pytest.CaptureFixture[str], graph_file: Path, index: Path, run_folder: Path
) -> None:
    ask = ("ask", "warranty", "--graph", str(graph_file), "--index", str(index))
    with door(graph_file, index) as standing:
        assert standing.path is not None
        assert stat.S_IMODE(run_folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(standing.path.stat().st_mode) == 0o600
        run_folder.chmod(0o755)
        assert HERE in run(capsys, *ask)[1]
        run_folder.chmod(0o700)
        moved = run_folder.with_name("moved")
        run_folder.rename(moved)
        run_folder.symlink_to(moved)
        assert HERE in run(capsys, *ask)[1]
        run_folder.unlink()
        moved.rename(run_folder)
    assert not list(run_folder.iterdir())


def test_a_socket_that_a_killed_server_left_is_replaced_and_a_living_one_stays(
    capsys: pytest.CaptureFixture[str], graph_file: Path, index: Path
) -> None:
    path = socket_of(os.path.realpath(index))
    assert path is not None
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    ask = ("ask", "warranty", "--graph", str(graph_file), "--index", str(index))
    assert HERE in run(capsys, *ask)[1]
    with door(graph_file, index):
        with door(graph_file, index, reply="From the second [1]."):
            assert THERE in run(capsys, *ask)[1]
        assert THERE in run(capsys, *ask)[1]
    assert not path.exists()


def test_silent_callers_hold_places_and_commands_work_on(
    capsys: pytest.CaptureFixture[str], graph_file: Path, index: Path
) -> None:
    with door(graph_file, index) as standing:
        silent = []
        for _ in range(AT_ONCE):
            silent.append(socket.socket(socket.AF_UNIX))
            silent[-1].connect(str(standing.path))
        assert HERE in run(capsys, "ask", "warranty", "--graph", str(graph_file), "--index", str(index))[1]
        for one in silent:
            one.close()


def test_another_model_that_writes_is_another_server(graph_file: Path) -> None:
    key = graph_key(str(graph_file))
    assert len({key, graph_key(str(graph_file), model="m"), graph_key(str(graph_file), url="m")}) == 3
    assert graph_key("ask", model="m") != graph_key("ask")


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"no json\n", b"[]\n", b"[" * 100_000 + b"\n", b'{"graph": 1, "generation": 2, "wanted": 3}\n']
    + [
        json.dumps({"graph": "KEY", "generation": "x", "wanted": wanted}).encode() + b"\n"
        for wanted in (None, {}, {"command": "rm", "text": "x"}, {"command": "ask", "text": 7})
    ],
)
def test_what_is_no_question_is_refused(graph_file: Path, index: Path, line: bytes) -> None:
    with door(graph_file, index) as standing, socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(DEADLINE_S)
        asking.connect(str(standing.path))
        asking.sendall(line.replace(b"KEY", graph_key(str(graph_file)).encode()))
        asking.shutdown(socket.SHUT_WR)
        assert asking.makefile("rb").read() == b"-"


def test_rag_serve_is_found_and_takes_its_socket_with_it(
    capsys: pytest.CaptureFixture[str], graph_file: Path, index: Path, run_folder: Path
) -> None:
    command = [sys.executable, "-m", "rag", "serve", "--graph", str(graph_file), "--index", str(index), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            assert re.search("Ctrl-C ends it", running.stderr.readline())
            [found] = run_folder.iterdir()
            place = ("--graph", str(graph_file), "--index", str(index))
            imports = [sys.executable, "-X", "importtime", "-m", "rag", "ask", "warranty", *place]
            done = subprocess.run(imports, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
            assert HERE in done.stdout
            assert "numpy" not in done.stderr  # nothing was loaded here: the server did the work
            running.send_signal(signal.SIGINT)
            assert running.wait(DEADLINE_S) == 0
        finally:
            running.kill()  # whatever failed: nobody waits for a server that goes on
    assert not found.exists()
