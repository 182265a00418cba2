"""Conversations kept in SQLite: by an unguessable id, each its owner's alone, bounded in turns, age and number.

It knows turns and owners, no HTTP and no models. An exchange is written as a whole or not at all, also when the process
is killed in the middle.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rag.files import Database, Form, storable
from rag.types import Message

_CITED = "ALTER TABLE turns ADD COLUMN cited TEXT NOT NULL DEFAULT '[]'"
"""What format 2 has more than 1: of an answer the ids that it cites. Of answers from before nobody knows them."""
_NAMED = "ALTER TABLE sessions ADD COLUMN name TEXT NOT NULL DEFAULT ''"
"""What format 3 has more than 2: the name that its owner gave a conversation, empty without one."""
_TABLES = (
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, owner TEXT NOT NULL, used_s REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX sessions_by_owner ON sessions (owner, used_s)",
    "CREATE TABLE turns (position INTEGER PRIMARY KEY AUTOINCREMENT, role TEXT NOT NULL, content TEXT NOT NULL,"
    " session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE)",
    "CREATE INDEX turns_by_session ON turns (session, position)",
    _CITED,
    _NAMED,
)
FORM = Form(kind="conversations", tables=_TABLES, changes=(_CITED, _NAMED))

MOST_LISTED = 200
_LONGEST_BEGINNING = 80
"""Characters of a first question, where it is the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A conversation in a list. `name`: the one that it was given, else the beginning of its first question."""

    id: str
    name: str
    used_s: float


class UnknownSession(Exception):
    """No such conversation, or another owner's: nobody learns which of the two."""


class Sessions:
    """Conversations in one file. Many threads may use it, and several processes; close it at the end.

    Args:
        path: the file; made if absent, readable by its owner alone.
        max_turns: turns kept of a conversation; the oldest go first. At least 2.
        max_age_s: a conversation that nobody used for so long is forgotten.
        max_sessions: conversations kept of one owner; the one that was unused longest makes room.
        clock: seconds since the epoch.
    Raises:
        SpecError: the path is no file of conversations, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_turns: int = 100,
        max_age_s: float = 30 * 86_400.0,
        max_sessions: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_turns < 2 or max_sessions < 1 or not max_age_s > 0:
            raise ValueError(
                f"sessions: max_turns must be at least 2, max_sessions at least 1 and max_age_s above 0, "
                f"got {max_turns}, {max_sessions} and {max_age_s}"
            )
        self._max_turns, self._max_age_s, self._max_sessions = max_turns, max_age_s, max_sessions
        self._clock = clock
        self._database = Database(path, FORM)

    def start(self, owner: str) -> str:
        """The id of a new conversation: 256 random bits."""
        session, now = secrets.token_urlsafe(32), self._clock()
        with self._database.transaction() as database:
            database.execute("DELETE FROM sessions WHERE used_s <= ?", (now - self._max_age_s,))
            database.execute(
                "DELETE FROM sessions WHERE id IN"
                " (SELECT id FROM sessions WHERE owner = ? ORDER BY used_s DESC LIMIT -1 OFFSET ?)",
                (owner, self._max_sessions - 1),
            )
            database.execute("INSERT INTO sessions (id, owner, used_s) VALUES (?, ?, ?)", (session, owner, now))
        return session

    def turns(self, session: str, owner: str) -> tuple[Message, ...]:
        """What was said so far, oldest first. On a full disk too, where its use is not noted.

        Raises:
            UnknownSession: it is not there, too old, or another owner's.
        """
        now = self._clock()
        rows = self._database.read(
            "SELECT role, content FROM sessions LEFT JOIN turns ON session = id"
            " WHERE id = ? AND owner = ? AND used_s > ? ORDER BY position",
            (session, owner, now - self._max_age_s),
        )
        if not rows:
            raise UnknownSession
        with suppress(sqlite3.OperationalError), self._database.transaction() as database:
            self._require(database, session, owner)
        return tuple(Message(role=role, content=content) for role, content in rows if role is not None)

    def listed(self, owner: str) -> list[Listed]:
        """An owner's conversations, the last used first, at most 200."""
        rows = self._database.read(
            "SELECT id, used_s, name, (SELECT content FROM turns WHERE session = id ORDER BY position LIMIT 1)"
            " FROM sessions WHERE owner = ? AND used_s > ? ORDER BY used_s DESC LIMIT ?",
            (owner, self._clock() - self._max_age_s, MOST_LISTED),
        )
        return [Listed(id=id, name=name or _beginning(first), used_s=used_s) for id, used_s, name, first in rows]

    def rename(self, session: str, owner: str, name: str) -> None:
        """Give a conversation a name.

        Raises:
            UnknownSession: it is not there, too old, or another owner's.
        """
        with self._database.transaction() as database:
            self._require(database, session, owner)
            database.execute("UPDATE sessions SET name = ? WHERE id = ?", (storable(name), session))

    def add(self, session: str, owner: str, question: str, answer: str, *, cited: Sequence[str] = ()) -> None:
        """Append a question and its answer. Two at the same time both stay whole, one after the other.

        Args:
            cited: ids of the passages that the answer cites, and of their documents. They are kept to find it by
                (`forget`), and shown to nobody.
        Raises:
            UnknownSession: it is not there (any more), too old, or another owner's.
        """
        with self._database.transaction() as database:
            self._require(database, session, owner)
            said = [
                (session, "user", storable(question), "[]"),
                (session, "assistant", storable(answer), json.dumps(cited)),
            ]
            database.executemany("INSERT INTO turns (session, role, content, cited) VALUES (?, ?, ?, ?)", said)
            database.execute(
                "DELETE FROM turns WHERE position IN"
                " (SELECT position FROM turns WHERE session = ? ORDER BY position DESC LIMIT -1 OFFSET ?)",
                (session, self._max_turns // 2 * 2),  # whole exchanges: a history never begins with an answer
            )

    def delete(self, session: str, owner: str) -> None:
        """Forget a conversation and all its turns.

        Raises:
            UnknownSession: it is not there, too old, or another owner's.
        """
        with self._database.transaction() as database:
            self._require(database, session, owner)
            database.execute("DELETE FROM sessions WHERE id = ?", (session,))

    def forget(self, matches: Callable[[str, Sequence[str]], bool]) -> int:
        """Forget every conversation, whoever's, with a turn or a name that matches; how many. The file keeps no copy of them.

        Args:
            matches: the text of a turn or the name, and the ids that it cites -> whether its conversation goes.
        Raises:
            SpecError: another process holds the file for too long, or there is no room to write it again. What was not
                forgotten is still there.
        """
        with self._database.erasing() as database:
            rows = database.execute(
                "SELECT session, content, cited FROM turns UNION ALL SELECT id, name, '[]' FROM sessions WHERE name != ''"
            )
            going = {session for session, content, cited in rows if matches(content, json.loads(cited))}
            database.executemany("DELETE FROM sessions WHERE id = ?", [(session,) for session in going])
        return len(going)

    def close(self) -> None:
        self._database.close()

    def _require(self, database: sqlite3.Connection, session: str, owner: str) -> None:
        """Find a living conversation of this owner and note that it is in use."""
        now = self._clock()
        touched = database.execute(
            "UPDATE sessions SET used_s = ? WHERE id = ? AND owner = ? AND used_s > ?",
            (now, session, owner, now - self._max_age_s),
        )
        if touched.rowcount != 1:
            raise UnknownSession


def _beginning(question: str | None) -> str:
    """A name made of a first question; empty for one that has not begun."""
    return " ".join((question or "").split())[:_LONGEST_BEGINNING]
