"""`rag index --watch` follows its sources: a real process, real files, and what a search then finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.core.errors import IndexProblem
from retrievers.index.directory import LocalIndex

LONGEST_S = 180.0


def texts(index: Path) -> set[str]:
    try:
        with LocalIndex.open(index) as opened:
            return {opened.documents[row].text for row in range(len(opened))}
    except IndexProblem:
        return set()


def wait_until(index: Path, wanted: set[str]) -> None:
    until = time.monotonic() + LONGEST_S
    while texts(index) != wanted and time.monotonic() < until:
        time.sleep(0.1)
    assert texts(index) == wanted


@contextmanager
def watching(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "rag", "index", *arguments, "--watch"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, env=env, **pipes)
    try:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("watching "):
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    file = tmp_path / "graph.yaml"
    file.write_text("version: 1\nnodes:\n  hits: {use: retrieve.bm25, k: 5}\noutput: hits\n")
    return file


def test_files_that_come_change_and_go_are_followed(tmp_path: Path, graph: Path) -> None:
    notes, single, index = tmp_path / "notes", tmp_path / "single.txt", tmp_path / "notes" / "idx"
    notes.mkdir()
    (notes / "a.txt").write_text("apples")
    (notes / "b.txt").write_text("plums")
    single.write_text("one")
    with watching(str(notes), str(single), "--index", str(index), "--graph", str(graph)) as process:
        wait_until(index, {"apples", "plums", "one"})
        (notes / "c.txt").write_text("pears")
        wait_until(index, {"apples", "plums", "pears", "one"})
        (notes / "a.txt").unlink()
        (notes / "b.txt").write_text("cherries")
        wait_until(index, {"cherries", "pears", "one"})
        (tmp_path / "next").write_text("two")
        os.replace(tmp_path / "next", single)
        wait_until(index, {"cherries", "pears", "two"})
        process.send_signal(signal.SIGINT)
        assert process.wait(LONGEST_S) == 0


def test_what_cannot_be_built_is_told_and_the_index_stays(tmp_path: Path, graph: Path) -> None:
    notes, index = tmp_path / "notes", tmp_path / "idx"
    notes.mkdir()
    for name in ("a", "b", "c"):
        (notes / f"{name}.txt").write_text(name * 5)
    with watching(str(notes), "--index", str(index), "--graph", str(graph)) as process:
        wait_until(index, {"aaaaa", "bbbbb", "ccccc"})
        assert process.stdout is not None
        for name in ("a", "b"):
            (notes / f"{name}.txt").unlink()
        said = ""
        while "The index is as it was" not in said:
            said += process.stdout.readline()
        assert "2 of the 3 documents" in said
        assert texts(index) == {"aaaaa", "bbbbb", "ccccc"}
        (notes / "a.txt").write_text("again")
        (notes / "b.txt").write_text("too")
        wait_until(index, {"again", "too", "ccccc"})


def test_without_anything_to_watch(tmp_path: Path, graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert main(["index", str(tmp_path / "a.txt"), "--index", str(tmp_path / "idx"), "--graph", str(graph)]) == 0
    (tmp_path / "a.txt").unlink()
    assert main(["index", "--index", str(tmp_path / "idx"), "--watch"]) == 2
    assert "nothing to watch" in capsys.readouterr().err
