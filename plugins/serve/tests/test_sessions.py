from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from generators.llm.scripted import ScriptedLLM
from plugins.serve.tests.walled import MODEL, client, question, walled
from rag.core.errors import SpecError
from rag.core.types import Message
from rag.pipeline import load_pipeline
from ragline_serve.http.conversation import SessionList, SessionReply
from ragline_serve.http.sessions import Sessions, UnknownSession
from ragline_serve.service.keys import new_key
from tests.scripted_graph import graph
from tests.stopped import files_of_at_most

ADA, BOB = "a" * 64, "b" * 64


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(tmp_path: Path, clock: Clock) -> Iterator[Sessions]:
    made = Sessions(tmp_path / "sessions.db", max_turns=5, max_age_s=100, max_sessions=3, clock=clock)
    yield made
    made.close()


def test_a_conversation_is_kept_in_order_and_outlives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    sessions = Sessions(file)
    session = sessions.start(ADA)
    assert sessions.turns(session, ADA) == ()
    sessions.add(session, ADA, "How many days?", "Thirty [1].")
    sessions.add(session, ADA, "And carried over?", "Five [1].")
    sessions.close()
    again = Sessions(file)
    assert again.turns(session, ADA) == (
        Message(role="user", content="How many days?"),
        Message(role="assistant", content="Thirty [1]."),
        Message(role="user", content="And carried over?"),
        Message(role="assistant", content="Five [1]."),
    )
    again.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_nobody_reads_writes_or_deletes_anothers(sessions: Sessions) -> None:
    session = sessions.start(ADA)
    sessions.add(session, ADA, "mine", "yes")
    for stranger in (BOB, "", ADA.upper(), "%", "' OR 1=1 --"):
        for attempt in (
            lambda owner: sessions.turns(session, owner),
            lambda owner: sessions.add(session, owner, "x", "y"),
            lambda owner: sessions.delete(session, owner),
        ):
            with pytest.raises(UnknownSession) as refused:
                attempt(stranger)
            assert refused.value.args == (), "another's and an absent one look the same"
    assert [turn.content for turn in sessions.turns(session, ADA)] == ["mine", "yes"]


def test_ids_are_long_random_and_never_chosen_by_a_client(sessions: Sessions) -> None:
    ids = {sessions.start(ADA) for _ in range(50)}
    assert len(ids) == 50
    assert all(len(session) == 43 for session in ids)
    for guess in ("", "new", "1", "../../etc/passwd", "x' OR '1'='1", "\x00", "é" * 1000):
        with pytest.raises(UnknownSession):
            sessions.turns(guess, ADA)


def test_deleting_leaves_no_trace_of_what_was_said(sessions: Sessions, tmp_path: Path) -> None:
    session = sessions.start(ADA)
    sessions.add(session, ADA, "a very particular question", "a very particular answer")
    sessions.delete(session, ADA)
    with pytest.raises(UnknownSession):
        sessions.turns(session, ADA)
    with pytest.raises(UnknownSession):
        sessions.add(session, ADA, "too", "late")
    sessions.close()  # the log is folded into the file
    assert b"particular" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_an_owners_conversations_are_listed_by_use_and_named(sessions: Sessions, clock: Clock) -> None:
    ids = []
    for number in range(3):
        ids.append(sessions.start(ADA))
        sessions.add(ids[-1], ADA, f"Question {number}?\n  And {'more ' * 30}", "Yes.")
        clock.now += 1
    sessions.rename(ids[0], ADA, "Ålesund 🌞 \ud83d")
    assert [(one.id, one.name) for one in sessions.listed(ADA)] == [
        (ids[0], "Ålesund 🌞 ?"),
        (ids[2], f"Question 2? And {'more ' * 30}"[:80]),
        (ids[1], f"Question 1? And {'more ' * 30}"[:80]),
    ]
    assert sessions.listed(ADA)[0].used_s == clock.now
    assert sessions.listed(BOB) == sessions.listed("") == []
    with pytest.raises(UnknownSession):
        sessions.rename(ids[0], BOB, "mine")
    clock.now += 1_000
    assert sessions.listed(ADA) == []
    with pytest.raises(UnknownSession):
        sessions.rename(ids[0], ADA, "too late")


def test_a_name_outlives_a_restart_and_goes_with_what_is_erased(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions.db")
    for name in ("About Ada Byron", "", "Other"):
        session = sessions.start(ADA)
        sessions.add(session, ADA, "How many days?", "Thirty.")
        if name:
            sessions.rename(session, ADA, name)
    sessions.close()
    again = Sessions(tmp_path / "sessions.db")
    assert {one.name for one in again.listed(ADA)} == {"About Ada Byron", "How many days?", "Other"}
    assert again.forget(lambda text, cited: "Byron" in text) == 1
    assert {one.name for one in again.listed(ADA)} == {"How many days?", "Other"}
    again.close()
    assert b"Byron" not in (tmp_path / "sessions.db").read_bytes()


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_earlier_format_goes_on_without_names(tmp_path: Path, version: int) -> None:
    file = tmp_path / "sessions.db"
    sessions = Sessions(file)
    session = sessions.start(ADA)
    sessions.add(session, ADA, "How many days?", "Thirty.")
    sessions.close()
    with sqlite3.connect(file) as earlier:
        earlier.execute("ALTER TABLE sessions DROP COLUMN name")
        if version == 1:
            earlier.execute("ALTER TABLE turns DROP COLUMN cited")
        earlier.execute(f"PRAGMA user_version = {version}")
    earlier.close()
    again = Sessions(file)
    assert [one.name for one in again.listed(ADA)] == ["How many days?"]
    again.rename(session, ADA, "Leave")
    again.add(session, ADA, "And then?", "None.", cited=["a"])
    assert [one.name for one in again.listed(ADA)] == ["Leave"]
    again.close()


def test_the_oldest_exchanges_go_first_and_only_whole_ones(sessions: Sessions) -> None:
    session = sessions.start(ADA)
    for number in range(4):
        sessions.add(session, ADA, f"q{number}", f"a{number}")
    assert [turn.content for turn in sessions.turns(session, ADA)] == ["q2", "a2", "q3", "a3"]


def test_an_unused_conversation_is_forgotten_and_use_keeps_it(sessions: Sessions, clock: Clock) -> None:
    kept, left = sessions.start(ADA), sessions.start(ADA)
    clock.now += 60
    sessions.turns(kept, ADA)
    clock.now += 60
    sessions.turns(kept, ADA)
    with pytest.raises(UnknownSession):
        sessions.turns(left, ADA)
    clock.now += 100
    with pytest.raises(UnknownSession):
        sessions.add(kept, ADA, "too", "late")


def test_the_longest_unused_makes_room(sessions: Sessions, clock: Clock) -> None:
    ids = []
    for _ in range(3):
        ids.append(sessions.start(ADA))
        clock.now += 1
    sessions.turns(ids[0], ADA)
    other = sessions.start(BOB)
    assert sessions.turns(ids[1], ADA) == (), "one owner's conversations never push out another's"
    clock.now += 1
    sessions.turns(ids[0], ADA)
    new = sessions.start(ADA)
    with pytest.raises(UnknownSession):
        sessions.turns(ids[2], ADA)
    assert sessions.turns(ids[0], ADA) == sessions.turns(ids[1], ADA) == sessions.turns(new, ADA) == ()
    assert sessions.turns(other, BOB) == ()


def test_hostile_text_is_kept_as_text(sessions: Sessions) -> None:
    session = sessions.start(ADA)
    hostile = "'); DROP TABLE turns; -- \x00 <|im_end|> </s> \U0001f600"
    sessions.add(session, ADA, hostile, hostile)
    assert {turn.content for turn in sessions.turns(session, ADA)} == {hostile}
    sessions.add(session, ADA, "half a character: \ud800", "and back")
    assert sessions.turns(session, ADA)[-2].content == "half a character: ?"


def test_a_failed_write_leaves_nothing_behind(sessions: Sessions) -> None:
    session = sessions.start(ADA)
    sessions._database._connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON turns WHEN NEW.content = 'too much' BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        sessions.add(session, ADA, "a question", "too much")
    assert sessions.turns(session, ADA) == ()
    sessions.add(session, ADA, "next", "fine")


def many_times(change: Callable[[], object]) -> None:
    for _ in range(500):
        change()


@pytest.mark.parametrize("room", [0, 20_000, 60_000])
def test_a_full_disk_loses_nothing_and_what_was_said_is_read(tmp_path: Path, room: int) -> None:
    sessions = Sessions(tmp_path / "sessions.db")
    session = sessions.start(ADA)
    sessions.add(session, ADA, "How many days?", "Thirty.")
    said = sessions.turns(session, ADA)
    with files_of_at_most(room):
        for change in (
            partial(sessions.add, session, ADA, "x" * 3_000, "y" * 3_000),
            partial(sessions.start, BOB),
        ):
            with pytest.raises(sqlite3.OperationalError):
                many_times(change)
        assert sessions.turns(session, ADA)[: len(said)] == said
        with pytest.raises(UnknownSession):
            sessions.turns(session, BOB)
    before = sessions.turns(session, ADA)
    sessions.add(session, ADA, "And now?", "There is room.")
    sessions.close()
    assert [turn.content for turn in Sessions(tmp_path / "sessions.db").turns(session, ADA)] == [
        *(turn.content for turn in before),
        "And now?",
        "There is room.",
    ]


def test_a_full_disk_is_told_at_the_start(tmp_path: Path) -> None:
    with (
        files_of_at_most(0),
        pytest.raises(SpecError, match=r"cannot be written as a file of conversations .*Make room"),
    ):
        Sessions(tmp_path / "sessions.db")
    Sessions(tmp_path / "sessions.db").close()


def test_a_clock_that_is_set_back_costs_no_conversation(sessions: Sessions, clock: Clock) -> None:
    session, other = sessions.start(ADA), sessions.start(ADA)
    sessions.add(session, ADA, "How many days?", "Thirty.")
    clock.now -= 900
    assert [turn.content for turn in sessions.turns(session, ADA)] == ["How many days?", "Thirty."]
    sessions.add(session, ADA, "And then?", "None.")
    assert sessions.turns(other, ADA) == ()
    third = sessions.start(BOB)
    clock.now += 99
    assert len(sessions.turns(session, ADA)) == 4
    assert sessions.turns(third, BOB) == ()
    clock.now += 101
    with pytest.raises(UnknownSession):  # by the clock as it is now
        sessions.turns(session, ADA)


def test_exchanges_of_many_threads_stay_whole(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions.db", max_turns=1_000)
    session = sessions.start(ADA)

    def talk(name: int) -> None:
        for number in range(10):
            sessions.add(session, ADA, f"q{name}.{number}", f"a{name}.{number}")
            assert len(sessions.turns(session, ADA)) % 2 == 0

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(talk, range(8)))
    said = [turn.content for turn in sessions.turns(session, ADA)]
    assert len(said) == 160
    assert all(question[1:] == answer[1:] for question, answer in zip(said[::2], said[1::2], strict=True))
    assert [q for q in said if q.startswith("q3.")] == [f"q3.{n}" for n in range(10)]
    sessions.close()


_WRITER = """
import sys
from pathlib import Path
from ragline_serve.http.sessions import Sessions
sessions = Sessions(Path(sys.argv[1]), max_turns=100_000)
session = sessions.start("owner")
print(session, flush=True)
number = 0
while True:
    sessions.add(session, "owner", f"q{number}", f"a{number}")
    print(number, flush=True)
    number += 1
"""


def test_a_kill_costs_no_exchange_that_was_written(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    for kills in range(3):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(file)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        session = writer.stdout.readline().strip()
        for _ in range(random.Random(kills).randint(1, 40)):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        told = writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        sessions = Sessions(file)
        said = [turn.content for turn in sessions.turns(session, "owner")]
        sessions.close()
        assert said == [f"{role}{n}" for n in range(len(said) // 2) for role in "qa"]
        if told and told[-1].isdecimal():
            assert len(said) // 2 >= int(told[-1]), "what was told to be written is there"
        check = sqlite3.connect(file)
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check.close()


def test_two_processes_may_share_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    one, other = Sessions(file), Sessions(file)
    session = one.start(ADA)
    other.add(session, ADA, "from", "there")
    one.add(session, ADA, "and", "here")
    assert [turn.content for turn in other.turns(session, ADA)] == ["from", "there", "and", "here"]
    one.close()
    other.close()


def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("something that somebody needs, and longer than a header of SQLite's: " + "x" * 200)
    before = note.read_bytes()
    with pytest.raises(SpecError, match="is no file of conversations"):
        Sessions(note)
    assert note.read_bytes() == before
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE sessions (id TEXT)")
    foreign.close()
    with pytest.raises(SpecError, match="holds something else"):
        Sessions(tmp_path / "foreign.db")
    with pytest.raises(SpecError, match="cannot be opened"):
        Sessions(tmp_path / "no" / "folder.db")


@pytest.mark.parametrize("bounds", [{"max_turns": 1}, {"max_sessions": 0}, {"max_age_s": 0.0}])
def test_bounds_are_checked(tmp_path: Path, bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="sessions: max_turns must be"):
        Sessions(tmp_path / "sessions.db", **bounds)
    assert not (tmp_path / "sessions.db").exists()


# --- over HTTP ---


@pytest.fixture
def serving(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TestClient, ScriptedLLM]]:
    """A server that keeps conversations, and the model behind it."""
    monkeypatch.delenv("RAGLINE_KEYS", raising=False)
    with load_pipeline(graph(replies=("First [1].", "Second [1].", "Third [1].")), index=index) as pipeline:
        llm = pipeline.graph.models["small"]
        assert isinstance(llm, ScriptedLLM)
        with client(pipeline, sessions_file=tmp_path / "sessions.db") as asking:
            yield asking, llm


def say(asking: TestClient, text: str, session: str, **headers: str) -> Any:
    return asking.post("/v1/chat/completions", json=question(text, ragline={"session": session}), headers=headers)


def test_a_follow_up_is_answered_with_what_was_said_before(serving: tuple[TestClient, ScriptedLLM]) -> None:
    asking, llm = serving
    first = say(asking, "How many days of paid leave?", "new")
    session = first.json()["ragline"]["session"]
    assert len(session) == 43
    again = say(asking, "How many may be carried over?", session)
    assert again.json()["ragline"]["session"] == session
    told = " ".join(turn.content for turn in llm.seen[-1])
    assert "How many days of paid leave?" in told
    assert "First [1]." in told
    other = say(asking, "Who signs orders?", "new")
    assert other.json()["ragline"]["session"] != session
    assert "paid leave" not in " ".join(turn.content for turn in llm.seen[-1])
    plain = asking.post("/v1/chat/completions", json=question())
    assert plain.json()["ragline"]["session"] is None


def test_a_stream_says_its_session_first_and_is_written_down(serving: tuple[TestClient, ScriptedLLM]) -> None:
    asking, llm = serving
    body = question("How many days of paid leave?", stream=True, ragline={"session": "new"})
    lines = asking.post("/v1/chat/completions", json=body).text.split("\n\n")
    session = json.loads(lines[0].removeprefix("data: "))["ragline"]["session"]
    assert say(asking, "And carried over?", session).status_code == 200
    assert "First [1]." in " ".join(turn.content for turn in llm.seen[-1])


def test_sessions_are_deleted_by_request(serving: tuple[TestClient, ScriptedLLM]) -> None:
    asking, _ = serving
    session = say(asking, "How many days?", "new").json()["ragline"]["session"]
    assert asking.delete(f"/v1/sessions/{session}").status_code == 204
    for refused in (asking.delete(f"/v1/sessions/{session}"), say(asking, "And?", session)):
        assert refused.status_code == 404
        assert refused.json()["error"]["code"] == "unknown_session"


def test_the_server_knows_the_earlier_turns_and_takes_no_others(serving: tuple[TestClient, ScriptedLLM]) -> None:
    asking, _ = serving
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
    refused = asking.post(
        "/v1/chat/completions", json={"model": MODEL, "messages": turns, "ragline": {"session": "new"}}
    )
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "messages"


def test_a_server_without_sessions_says_so(index: Path) -> None:
    with walled(index) as asking:
        refused = say(asking, "How many days?", "new")
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "ragline.session"
        assert asking.delete("/v1/sessions/x").status_code == 404


def kept(file: Path) -> int:
    """Conversations in a file."""
    database = sqlite3.connect(file)
    try:
        return int(database.execute("SELECT count(*) FROM sessions").fetchone()[0])
    finally:
        database.close()


@pytest.mark.parametrize("stream", [False, True])
def test_who_gets_no_answer_leaves_no_conversation(
    serving: tuple[TestClient, ScriptedLLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    asking, llm = serving
    new = {"session": "new"}
    refused = [
        question(model="other", ragline=new),
        question("x" * 100_000, ragline=new),
        question(n=2, ragline=new),
        question(ragline=new | {"where": {"colour": "red"}}),
    ]
    for body in refused:
        assert asking.post("/v1/chat/completions", json=body | {"stream": stream}).status_code in (400, 404)

    def broken(*given: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(llm, "complete", broken)
    assert asking.post("/v1/chat/completions", json=question(ragline=new)).status_code == 500
    assert kept(tmp_path / "sessions.db") == 0
    monkeypatch.undo()
    assert asking.post("/v1/chat/completions", json=question(ragline=new, stream=stream)).status_code == 200
    assert kept(tmp_path / "sessions.db") == 1


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_given_also_where_it_cannot_be_written_down(
    serving: tuple[TestClient, ScriptedLLM],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stream: bool,
) -> None:
    asking, _ = serving
    session = say(asking, "How many days of paid leave?", "new").json()["ragline"]["session"]

    def full(*given: Any, **named: Any) -> Any:
        raise sqlite3.OperationalError("database or disk is full: /secret/place")

    monkeypatch.setattr(Sessions, "add", full)
    monkeypatch.setattr(Sessions, "start", full)
    for name, told in ((session, session), ("new", None)):
        body = question("How many are carried over?", stream=stream, ragline={"session": name})
        reply = asking.post("/v1/chat/completions", json=body)
        assert reply.status_code == 200
        assert '"error"' not in reply.text
        last = reply.text if not stream else reply.text.split("\n\n")[-3].removeprefix("data: ")
        assert json.loads(last)["ragline"]["session"] == told
        assert json.loads(last)["ragline"]["status"] == "answered"
    assert "OperationalError" in caplog.text
    assert "/secret/place" not in caplog.text


def test_one_key_cannot_use_anothers_session(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = new_key(), new_key()
    monkeypatch.setenv("RAGLINE_KEYS", f"{ada},{bob}")
    file = tmp_path / "sessions.db"
    with walled(index, sessions_file=file) as asking:
        session = say(asking, "How many days?", "new", Authorization=f"Bearer {ada}").json()["ragline"]["session"]
        theirs = {"Authorization": f"Bearer {bob}"}
        for refused in (
            say(asking, "And?", session, **theirs),
            asking.delete(f"/v1/sessions/{session}", headers=theirs),
        ):
            assert refused.status_code == 404
        absent = say(asking, "And?", "absent", **theirs)
        assert absent.json() == refused.json(), "nobody learns that it exists"
        assert say(asking, "And?", session, Authorization=f"Bearer {ada}").status_code == 200
    content = b"".join(part.read_bytes() for part in tmp_path.glob("sessions.db*"))
    assert b"How many days?" in content
    for key in (ada, bob):
        assert key.encode() not in content


def test_a_keys_conversations_are_listed_shown_named_and_gone_on_with(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = new_key(), new_key()
    monkeypatch.setenv("RAGLINE_KEYS", f"{ada},{bob}")
    mine, theirs = ({"Authorization": f"Bearer {key}"} for key in (ada, bob))
    with walled(index, sessions_file=tmp_path / "sessions.db") as asking:
        session = say(asking, "How many days of paid leave?", "new", **mine).json()["ragline"]["session"]
        [card] = SessionList.model_validate(asking.get("/v1/sessions", headers=mine).json(), strict=True).sessions
        assert (card.id, card.name) == (session, "How many days of paid leave?")
        place = f"/v1/sessions/{session}"
        assert asking.post(place, json={"name": "  Leave "}, headers=mine).status_code == 204
        assert asking.get("/v1/sessions", headers=mine).json()["sessions"][0]["name"] == "Leave"
        say(asking, "And then?", session, **mine)
        shown = SessionReply.model_validate(asking.get(place, headers=mine).json(), strict=True)
        assert [turn.role for turn in shown.turns] == ["user", "assistant"] * 2
        assert [turn.content for turn in shown.turns][::2] == ["How many days of paid leave?", "And then?"]
        assert asking.get("/v1/sessions", headers=theirs).json() == {"sessions": []}
        for other in (place, "/v1/sessions/absent"):
            refused = (asking.get(other, headers=theirs), asking.post(other, json={"name": "x"}, headers=theirs))
            assert {(reply.status_code, reply.json()["error"]["code"]) for reply in refused} == {
                (404, "unknown_session")
            }
        for name in ("", "   ", "x" * 101, 7, None):
            assert asking.post(place, json={"name": name}, headers=mine).status_code == 400
        assert asking.delete(place, headers=mine).status_code == 204
        assert asking.get("/v1/sessions", headers=mine).json() == {"sessions": []}


def test_where_nobody_knows_whose_they_are_none_are_listed(
    serving: tuple[TestClient, ScriptedLLM], index: Path
) -> None:
    asking, _ = serving
    session = say(asking, "How many days of paid leave?", "new").json()["ragline"]["session"]
    assert asking.get("/v1/sessions").json()["error"]["code"] == "no_sessions"
    assert asking.get(f"/v1/sessions/{session}").status_code == 200, "who has the id has the conversation"
    with walled(index) as without:
        assert without.get("/v1/sessions").json()["error"]["code"] == "no_sessions"
        assert without.get("/v1/sessions/x").json()["error"]["code"] == "unknown_session"


def test_askers_behind_one_proxy_have_lists_of_their_own(tmp_path: Path, index: Path) -> None:
    ann, bob = ({"X-Asker": json.dumps({"user": name, "tenant": "north"})} for name in ("ann", "bob"))
    with walled(index, sessions_file=tmp_path / "sessions.db", asker_header="X-Asker") as asking:
        body = question(ragline={"session": "new"})
        assert asking.post("/v1/chat/completions", json=body, headers=ann).status_code == 200
        assert len(asking.get("/v1/sessions", headers=ann).json()["sessions"]) == 1
        assert asking.get("/v1/sessions", headers=bob).json() == {"sessions": []}
        assert asking.get("/v1/sessions").status_code == 404
