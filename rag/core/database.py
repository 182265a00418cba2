"""Small SQLite files that people write to and read from: made, brought to this version, and rewritten without what goes.

A file is its owner's alone. What is written is written as a whole or not at all, also when the process is killed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a file holds. `kind`: what is said of it in messages, in the plural. `tables`: statements that make it.

    `changes[i]`: what brings version i + 1 to i + 2; so the newest version is one more than there are changes.
    """

    kind: str
    tables: Sequence[str]
    changes: Sequence[str] = field(default=())

    @property
    def version(self) -> int:
        """Of a file that is made now."""
        return len(self.changes) + 1


class Database:
    """One file. Many threads may use it, and several processes; close it at the end.

    Raises:
        SpecError: the path is no file of this form, or cannot be written.
    """

    def __init__(self, path: Path, form: Form) -> None:
        self._form, self._lock = form, threading.Lock()
        self._connection = _opened(path, form)

    def read(self, statement: str, given: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a question."""
        with self._lock:
            return self._connection.execute(statement, given).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing. It waits for another process before the first read, where waiting is still possible."""
        with self._lock, _transaction(self._connection):
            yield self._connection

    @contextmanager
    def erasing(self) -> Iterator[sqlite3.Connection]:
        """A transaction after which the file is written again without what was deleted, and nothing of it lies beside.

        Raises:
            SpecError: another process holds the file for too long, or there is no room.
        """
        kind = self._form.kind
        try:
            with self.transaction() as database:
                yield database
            with self._lock:
                self._connection.execute("VACUUM")
                busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError as cause:
            raise SpecError(
                f"the file of {kind} cannot be written again without what goes ({cause}). Stop the server, or make "
                "room for a copy of the file, and try again"
            ) from None
        if busy:
            raise SpecError(f"the file of {kind} is in use. Stop the server, and try again")

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._connection.close()


def storable(text: str) -> str:
    """A text as UTF-8 can hold it: half a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _opened(path: Path, form: Form) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error):
        raise SpecError(f"'{path}' cannot be opened for {form.kind}; name a file in a folder that exists") from None
    try:
        _prepare(database, path, form)
    except sqlite3.OperationalError as cause:
        database.close()
        raise SpecError(
            f"'{path}' cannot be written as a file of {form.kind} ({cause}). Make room there, or name another file"
        ) from None
    except sqlite3.Error:
        database.close()
        raise SpecError(f"'{path}' is no file of {form.kind}; name another file") from None
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path, form: Form) -> None:
    with _transaction(database):
        version = database.execute("PRAGMA user_version").fetchone()[0]
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not version and not names:
            statements = form.tables
        elif 0 < version <= form.version and names >= set(_names(form)):
            statements = form.changes[version - 1 :]
        else:
            raise SpecError(f"'{path}' holds something else than {form.kind} of this version; name another file")
        for statement in statements:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {form.version}")
    database.execute("PRAGMA journal_mode = WAL")  # readers of other processes do not wait for a writer
    database.execute("PRAGMA synchronous = NORMAL")  # survives a kill; a power cut may cost what was written last
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten


def _names(form: Form) -> Iterator[str]:
    """The tables that a form makes."""
    return (statement.split()[2] for statement in form.tables if statement.startswith("CREATE TABLE "))


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
