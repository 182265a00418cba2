"""Conversations are found by what they quote, and by what they cite, however little they say."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from plugins.serve.tests.walled import question, walled
from rag.core.errors import SpecError
from rag.core.types import Document
from rag.erasure import erase_from_index
from rag.indexing import build_index, remove_from_index
from ragline_serve.http.sessions import Sessions, UnknownSession
from tests.erasure.test_erase import home  # noqa: F401
from tests.small_index import small_index
from tests.stopped import files_of_at_most

ADA = "a" * 64
OLDER = """
CREATE TABLE sessions (id TEXT PRIMARY KEY, owner TEXT NOT NULL, used_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE turns (position INTEGER PRIMARY KEY AUTOINCREMENT, role TEXT NOT NULL, content TEXT NOT NULL,
 session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE);
PRAGMA user_version = 1;
"""

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_a_word_is_found_by_the_passage_that_it_cites(
    tmp_path: Path, documents: Sequence[Document], stream: bool, earlier: bool
) -> None:
    index, file = small_index(tmp_path, documents), tmp_path / "sessions.db"

    def asked(asking: object, text: str, session: str) -> int:
        body = question(text, stream=stream, ragline={"session": session})
        return asking.post("/v1/chat/completions", json=body).status_code  # type: ignore[attr-defined, no-any-return]

    with walled(index, {"replies": ["Thirty [1].", "Two [1]."]}, sessions_file=file) as asking:
        assert asked(asking, "How many days of paid leave?", "new") == 200
        assert asked(asking, "How many sign orders above five hundred euros?", "new") == 200
    with closing(sqlite3.connect(file)) as kept:
        cited = kept.execute("SELECT session, cited FROM turns WHERE role = 'assistant' ORDER BY position").fetchall()
    assert ["d02" in names for _, names in cited] == [True, False]
    if earlier:  # and of a file there is no text to look for any more
        remove_from_index(["texts/d02.md"], index)
    receipt = erase_from_index(["texts/d02.md"], index, also=[file])
    assert receipt.clean
    assert next(place.done for place in receipt.places if place.kind == "sessions") == "1 conversations taken out"
    with walled(index, sessions_file=file) as asking:
        assert [asked(asking, "Go on?", session) for session, _ in cited] == [404, 200]


def test_a_file_of_an_older_version_is_read_and_keeps_what_is_cited_from_now_on(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    with closing(sqlite3.connect(file)) as older:
        older.executescript(OLDER)
        older.execute("INSERT INTO sessions VALUES ('old', ?, 1e12)", (ADA,))
        older.execute("INSERT INTO turns (session, role, content) VALUES ('old', 'user', 'Who?')")
        older.execute("INSERT INTO turns (session, role, content) VALUES ('old', 'assistant', 'Ada [1].')")
        older.commit()
    sessions = Sessions(file, clock=lambda: 1e12)
    assert [turn.content for turn in sessions.turns("old", ADA)] == ["Who?", "Ada [1]."]
    new = sessions.start(ADA)
    sessions.add(new, ADA, "Who?", "Ada [1].", cited=["ada#1", "ada"])
    sessions.close()
    sessions = Sessions(file, clock=lambda: 1e12)
    assert sessions.forget(lambda text, cited: "ada" in cited) == 1
    assert len(sessions.turns("old", ADA)) == 2
    with pytest.raises(UnknownSession):
        sessions.turns(new, ADA)
    sessions.close()


@pytest.mark.parametrize("room", [0, 8_192, 40_000])
def test_a_full_disk_is_told_and_the_index_waits_for_the_conversations(tmp_path: Path, room: int) -> None:
    said = "Ada lives by the harbour, in the house with the copper ladder."
    (tmp_path / "people").mkdir()
    for name in ("ada", "bob", "cy"):
        (tmp_path / "people" / f"{name}.txt").write_text(said.replace("Ada", name))
    build_index(tmp_path / "people", tmp_path / "idx", legs=("lexical",))
    file = tmp_path / "sessions.db"
    sessions = Sessions(file)
    for _ in range(20):
        sessions.add(sessions.start(ADA), ADA, "Who? " * 500, "She [1].", cited=["people/ada.txt"])
    kept = sessions.start(ADA)
    sessions.add(kept, ADA, "Who? " * 500, "He [1].", cited=["people/bob.txt"])
    sessions.close()
    with files_of_at_most(room), pytest.raises(SpecError, match="make room"):
        erase_from_index(["people/ada.txt"], tmp_path / "idx", also=[file])
    receipt = erase_from_index(["people/ada.txt"], tmp_path / "idx", also=[file])
    assert receipt.clean
    sessions = Sessions(file)
    assert sessions.forget(lambda text, cited: "people/ada.txt" in cited) == 0
    assert len(sessions.turns(kept, ADA)) == 2
    sessions.close()
    assert b"people/ada.txt" not in file.read_bytes()
