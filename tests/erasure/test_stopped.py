"""An erasure that is killed, or finds no room, is given again, and leaves nothing; until then the index is whole."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.core.errors import IndexProblem, SpecError
from rag.erasure import erase_from_index
from rag.indexing import add_documents, build_index, remove_from_index
from rag.indexing.shadow import build_shadow, shadow_of
from retrievers.index.directory import LocalIndex
from tests.erasure.test_erase import files_with, made_index, made_of, planted, text_of
from tests.retrievers.tiny_encoders import tiny_static
from tests.stopped import disk_full, failing_at, files_of_at_most, killed_at

N = 12
GONE = {"files": 3, "in parts": 3, "removed earlier": 4, "handed over": 100, "with a shadow": 3}
ID = {100: "more"}


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process leaves to the system what it wrote, and here no machine loses power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module", params=GONE)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A folder with an index and what was made of it, and the number of the document that goes."""
    folder = tmp_path_factory.mktemp("made")
    if request.param == "files":
        (folder / "people").mkdir()
        for number in range(N):
            (folder / "people" / f"person-{number}").with_suffix(".txt").write_text(text_of(number))
        build_index(folder / "people", folder / "idx", legs=("lexical",))
        shutil.rmtree(folder / "people")
    else:
        made_index(folder, N)
        (folder / "corpus.jsonl").unlink()
    index = folder / "idx"
    made_of(index, folder, range(2, 6))
    if request.param in ("in parts", "removed earlier", "handed over"):
        add_documents([{"doc_id": i, "text": text_of(n)} for i, n in (("more", 100), ("last", 101))], index)
        remove_from_index(["person-4"], index)
    if request.param == "with a shadow":
        build_shadow(index, encoder=str(tiny_static(folder / "other", seed=1)))
    number = GONE[request.param]
    (folder / "home" / "states").mkdir(parents=True)
    (folder / "home" / "states" / "kept.states").write_bytes(b"what a model made of them")
    build_index(_texts(folder), folder / "home" / "indexes" / "cached", legs=("lexical",))
    shutil.rmtree(folder / "texts")
    return folder, number


def _texts(folder: Path) -> Path:
    (folder / "texts").mkdir()
    for number in (3, 4, 100):
        (folder / "texts" / f"{number}.txt").write_text(text_of(number))
    return folder / "texts"


def target_of(folder: Path, number: int) -> str:
    with LocalIndex.open(folder / "idx") as index:
        files = index.documents[0].parent.startswith("people/")
    return f"people/person-{number}.txt" if files else ID.get(number, f"person-{number}")


def left_of(folder: Path, number: int) -> list[str]:
    return files_with(planted(number).encode(), folder)


def erase(folder: Path, target: str) -> Any:
    also = [folder / name for name in ("run", "sessions.db", "traces.jsonl")]
    return erase_from_index([target], folder / "idx", also=also, wait_s=0)


def ids(index: Path) -> set[str]:
    with LocalIndex.open(index) as opened:
        opened.verify()
        return {document.parent for document in opened.documents}


def some_steps() -> Iterator[int]:
    """Ascending, drawn by chance. RAGLINE_EVERY_STEP asks for all of them."""
    chance, step = random.Random(), 0
    while True:
        step += 1 if "RAGLINE_EVERY_STEP" in os.environ else chance.randint(1, 80)
        yield step


@contextmanager
def statements_counted() -> Iterator[None]:
    """Each statement of SQLite is a step too: `os.rmdir` of nothing, which `failing_at` counts."""

    class Counting(sqlite3.Connection):
        def execute(self, *given: Any) -> sqlite3.Cursor:
            try:
                os.rmdir("/nothing")
            except FileNotFoundError:
                pass
            except OSError as cause:  # as SQLite says it
                raise sqlite3.OperationalError("database or disk is full") from cause
            return super().execute(*given)

    real = sqlite3.connect
    sqlite3.connect = partial(real, factory=Counting)  # type: ignore[assignment]
    try:
        yield
    finally:
        sqlite3.connect = real


@pytest.mark.parametrize("how", ["killed", "disk full"])
def test_a_stop_at_any_step_leaves_the_index_whole_and_the_erasure_is_given_again(
    made: tuple[Path, int],
    how: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    original, number = made
    target = target_of(original, number)
    before, n = ids(original / "idx"), 0
    for step in some_steps():
        folder = tmp_path / str(step)
        shutil.copytree(original, folder)
        monkeypatch.setenv("RAGLINE_HOME", str(folder / "home"))

        def change(folder: Path = folder) -> None:
            with statements_counted():
                erase(folder, target)

        if how == "killed":
            reached = killed_at(step, change)
        else:
            with failing_at(step, disk_full) as were_there, suppress(IndexProblem, SpecError):
                change()
            reached = were_there()
        assert ids(folder / "idx") in (before, before - {target}), step
        if number == 100 and target not in ids(folder / "idx"):  # it was handed over, so nothing names it any more
            with pytest.raises(IndexProblem, match="has no source, file or document"):
                erase(folder, target)
        else:
            assert erase(folder, target).clean, step
        assert ids(folder / "idx") == before - {target}
        assert left_of(folder, number) == [], step
        assert not shadow_of(folder / "idx").exists()
        assert not list(folder.rglob("*-erasing-*")), step
        names = {path.name.partition("-")[0] for path in (folder / "idx").iterdir()}
        refused = {"work"} if number == 100 else set()  # finished vectors of what stays, for the next build
        assert names - refused == {"CURRENT", "generation", "ragline.lock"}, step
        shutil.rmtree(folder)
        if not reached:
            break
        n += 1
    record_property("stops", n)
    assert n


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an index of files, conversations, a run and traces."""
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    (tmp_path / "people").mkdir()
    for number in range(N):
        (tmp_path / "people" / f"person-{number}.txt").write_text(text_of(number))
    build_index(tmp_path / "people", tmp_path / "idx", legs=("lexical",))
    shutil.rmtree(tmp_path / "people")
    made_of(tmp_path / "idx", tmp_path, range(2, 6))
    return tmp_path


def command(folder: Path) -> list[str]:
    also = [word for name in ("traces.jsonl", "run", "sessions.db") for word in ("--also", str(folder / name))]
    return ["remove", "people/person-3.txt", "--index", str(folder / "idx"), "--receipt", str(folder / "r.json"), *also]


@pytest.mark.parametrize(("room", "told"), [(0, "cannot be changed"), (1_000, "cannot be"), (30_000, "make room")])
def test_a_full_disk_is_told_in_a_sentence(
    small: Path, room: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real limit: this process may write files of so many bytes."""
    (small / "traces.jsonl").write_text((small / "traces.jsonl").read_text() + f"{'x' * 900}\n")
    before = ids(small / "idx")
    with files_of_at_most(room):
        assert main(command(small)) != 0
    said = capsys.readouterr().err
    assert told in said
    assert "again" in said
    assert ids(small / "idx") == before
    assert not (small / "r.json").exists()
    assert main(command(small)) == 0, capsys.readouterr()
    assert left_of(small, 3) == []


def test_a_receipt_that_cannot_be_kept_is_printed(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rag.erasure.receipt.write_atomically", lambda path, text: disk_full())
    assert main(command(small)) != 0
    told = capsys.readouterr()
    assert [each["doc_id"] for each in json.loads(told.out)["documents"]] == ["people/person-3.txt"]
    assert "What it tells is done" in told.err
    assert left_of(small, 3) == []
