"""The log of questions: kept, listed, rated, forgotten; under a kill, on a full disk, and on the command line."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rag.asked import Entry, QuestionLog, UnknownEntry
from rag.cli import main
from rag.core.access import Asker
from rag.core.database import Database, Form
from rag.core.errors import SpecError
from rag.core.types import Document
from tests.scripted_graph import graph
from tests.small_index import small_index
from tests.stopped import files_of_at_most

ANN, BOB = Asker(user="ann", tenant="north"), Asker(user="bob", tenant="north")


def entry(text: str = "How many days?", **more: Any) -> Entry:
    return Entry(question=text, answer="Thirty [1].", status="answered", passages=("leave.md#1",), **more)


def texts(log: QuestionLog, **wanted: Any) -> list[str]:
    return [each.question for each in log.entries(**wanted)]


@pytest.fixture
def index(tmp_path: Path, documents: Sequence[Document]) -> Path:
    return small_index(tmp_path, documents)


def test_what_is_kept_outlives_a_restart_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "asked.db"
    log = QuestionLog(file, clock=lambda: 1_000.0)
    kept = entry(
        cited=("leave.md#1",), counts={"moved": 1}, seconds=1.25, user="ann", tenant="north", door="ask", graph="ask"
    )
    made = log.add(kept)
    log.close()
    with closing(QuestionLog(file)) as again:
        [found] = again.entries()
    assert found.as_dict() == {**kept.as_dict(), "id": made, "asked": "1970-01-01T00:16:40Z"}
    assert len(made) >= 20
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_entries_are_of_whoever_asked_since_a_time_and_the_last_ones(tmp_path: Path) -> None:
    now = iter(range(100, 10_000))
    with closing(QuestionLog(tmp_path / "asked.db", clock=lambda: float(next(now)))) as log:
        for number in range(1_200):
            log.add(entry(f"q{number}", user="ann" if number % 2 else "bob", tenant="north"))
        assert texts(log) == [f"q{number}" for number in range(1_200)]
        assert texts(log, asker=ANN, newest=2) == ["q1197", "q1199"]
        assert texts(log, since_s=1_297.0) == ["q1197", "q1198", "q1199"]
        assert texts(log, asker=Asker(user="ann", tenant="south")) == []


def test_an_id_is_a_word_on_a_command_line(tmp_path: Path) -> None:
    log = QuestionLog(tmp_path / "asked.db")
    assert all(log.add(entry()).isalnum() for _ in range(40)), "one that begins with a dash is taken for an option"


def test_the_oldest_go_and_those_that_are_too_old(tmp_path: Path) -> None:
    times = [0.0, 10.0, 20.0, 31.0]
    with closing(QuestionLog(tmp_path / "a.db", max_age_s=20.0, clock=lambda: times[0])) as log:
        for number in range(4):
            log.add(entry(f"q{number}"))
            times.append(times.pop(0))
        assert texts(log) == ["q2", "q3"]
    with closing(QuestionLog(tmp_path / "b.db", max_entries=2)) as log:
        for number in range(5):
            log.add(entry(f"q{number}"))
        assert texts(log) == ["q3", "q4"]
    for wrong in ({"max_entries": 0}, {"max_age_s": 0.0}, {"max_age_s": float("nan")}):
        with pytest.raises(ValueError, match="must be at least 1 and max_age_s above 0"):
            QuestionLog(tmp_path / "c.db", **wrong)  # type: ignore[arg-type]


def test_who_asked_rates_and_nobody_else(tmp_path: Path) -> None:
    with closing(QuestionLog(tmp_path / "asked.db")) as log:
        made = log.add(entry(user="ann", tenant="north"))
        log.rate(made, good=False, comment="It is 31 \ud800.", asker=ANN)
        [found] = log.entries()
        assert (found.good, found.comment) == (False, "It is 31 ?.")
        for other in (BOB, Asker()):
            with pytest.raises(UnknownEntry):
                log.rate(made, good=True, asker=other)
        with pytest.raises(UnknownEntry):
            log.rate("made up", good=True)
        log.rate(made, good=None)
        assert [(each.good, each.comment) for each in log.entries()] == [(None, "")]


def test_what_is_forgotten_leaves_no_trace(tmp_path: Path) -> None:
    file = tmp_path / "asked.db"
    with closing(QuestionLog(file)) as log:
        log.add(entry("xylophone"))
        log.add(entry("stays"))
        assert log.forget(lambda each: "xylo" in each.question) == 1
        assert texts(log) == ["stays"]
        assert not any(b"xylophone" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    other = Form(kind="sessions", tables=("CREATE TABLE sessions (id TEXT)",))
    Database(tmp_path / "sessions.db", other).close()
    (tmp_path / "text").write_text("no database " * 1_000)
    for name in ("sessions.db", "text"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(SpecError, match="questions"):
            QuestionLog(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(SpecError, match="name a file in a folder that exists"):
        QuestionLog(tmp_path / "none" / "asked.db")
    QuestionLog(tmp_path / "asked.db").close()
    with pytest.raises(SpecError, match="something else than sessions"):
        Database(tmp_path / "asked.db", other)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with closing(QuestionLog(tmp_path / "asked.db")) as log:
        log.add(entry("before"))
        with files_of_at_most(40_000), pytest.raises(sqlite3.OperationalError):
            [log.add(entry("x" * 3_000)) for _ in range(500)]
        assert texts(log)[0] == "before"
        log.add(entry("after"))
        assert texts(log)[-1] == "after"


_WRITER = """
import sys
from pathlib import Path
from rag.asked import Entry, QuestionLog
log, number = QuestionLog(Path(sys.argv[1])), 0
while True:
    log.add(Entry(question=f"q{number}", answer="", status="answered"))
    print(number, flush=True)
    number += 1
"""


def test_a_kill_costs_no_entry_that_was_written(tmp_path: Path) -> None:
    file = tmp_path / "asked.db"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(file)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(random.Random(1).randint(1, 40)):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    told = writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    with closing(QuestionLog(file)) as log:
        found = texts(log)
    assert found == [f"q{number}" for number in range(len(found))]
    if told and told[-1].isdecimal():
        assert len(found) > int(told[-1])


def test_ask_keeps_and_log_shows_rates_and_forgets(
    tmp_path: Path, index: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, spec = tmp_path / "asked.db", tmp_path / "g.yaml"
    spec.write_text(json.dumps(graph(replies=["Thirty [1]."])))
    ask = ["ask", "--graph", str(spec), "--index", str(index), "--log", str(file), "--no-server"]
    assert main([*ask, "How many days of paid leave?"]) == 0
    assert main([*ask, "--json", "--as", '{"user": "ann", "tenant": "north"}', "Who may sign?\x1b[31m"]) == 0
    capsys.readouterr()
    assert main(["log", str(file), "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["question"], first["answer"], first["door"]) == ("How many days of paid leave?", "Thirty [1].", "ask")
    assert (second["user"], second["tenant"]) == ("ann", "north")
    assert main(["log", str(file), "--rate", first["id"], "good"]) == 0
    assert main(["log", str(file), "-n", "1", "--as", '{"user": "ann", "tenant": "north"}']) == 0
    told = capsys.readouterr().out
    assert "Who may sign?" in told
    assert "\x1b" not in told
    assert "paid leave" not in told
    assert main(["log", str(file), "--forget", second["id"], "none"]) == 0
    assert capsys.readouterr().out == "1 of 2 taken out\n"
    assert main(["log", str(file)]) == 0
    told = capsys.readouterr().out
    assert f"{first['id']}  (answered, good, " in told
    assert "ann" not in told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["none.db"], "no file of questions at 'none.db'"),
        (["asked.db", "--rate", "x", "great"], "--rate takes an id and good, bad or none, got 'great'"),
        (["asked.db", "--rate", "x", "good"], "no entry 'x'"),
        (["asked.db", "--since", "yesterday"], "--since takes a date such as 2026-11-01, got 'yesterday'"),
    ],
)
def test_a_mistake_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    QuestionLog(tmp_path / "asked.db").close()
    assert main(["log", *arguments]) == 2
    assert why in capsys.readouterr().err


def test_ask_gives_its_answer_where_it_cannot_be_kept(
    tmp_path: Path, index: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: QuestionLog, entry: Entry) -> str:
        raise sqlite3.OperationalError("disk is full")

    monkeypatch.setattr(QuestionLog, "add", full)
    (tmp_path / "g.yaml").write_text(json.dumps(graph(replies=["Thirty [1]."])))
    ask = ["ask", "--graph", str(tmp_path / "g.yaml"), "--index", str(index), "--log", str(tmp_path / "asked.db")]
    assert main([*ask, "--no-server", "How many days of paid leave?"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("Thirty [1].")
    assert "the question was not kept" in told.err


def test_a_log_that_cannot_be_written_is_told_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(tmp_path / "none" / "asked.db")
    assert main(["ask", "--graph", "none.yaml", "--log", log, "Who?"]) == 2
    assert "cannot be opened for questions" in capsys.readouterr().err


def test_the_clock_may_be_set_back(tmp_path: Path) -> None:
    now = [1_000.0]
    with closing(QuestionLog(tmp_path / "asked.db", max_age_s=100, clock=lambda: now[0])) as log:
        log.add(entry("first"))
        now[0] = 10.0
        log.add(entry("second"))
        assert texts(log) == ["first", "second"]
        rate = partial(log.rate, good=True)
        for each in log.entries():
            rate(each.id)
