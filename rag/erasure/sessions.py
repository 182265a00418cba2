"""Files of conversations of `rag serve`: one that quotes or cites documents that go is forgotten as a whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rag.core.errors import SpecError
from rag.erasure.keeper import Keeper
from rag.erasure.leaving import Leaving

_TABLES = {"sessions", "turns"}
_HEADER = b"SQLite format 3\0"


class SessionsKeeper(Keeper):
    """A half of a conversation would mislead whoever goes on with it."""

    name = "sessions"

    def recognises(self, path: Path) -> bool:
        """Whether a path is a file of conversations.

        Raises:
            SpecError: it is a database that cannot be opened now, as reading one takes room beside it.
        """
        return has_tables(path, _TABLES)

    def places(self, path: Path) -> Sequence[Path]:
        return beside(path)

    def erase(self, path: Path, leaving: Leaving) -> str:
        from rag.serve.sessions import Sessions

        sessions = Sessions(path)
        try:
            n = sessions.forget(lambda text, cited: leaving.in_text(text) or leaving.names_any(cited))
        finally:
            sessions.close()
        return f"{n:,} conversations taken out"


def has_tables(path: Path, tables: set[str]) -> bool:
    """Whether a path is a database that has these tables.

    Raises:
        SpecError: it is a database that cannot be opened now, as reading one takes room beside it.
    """
    if not _is_database(path):
        return False
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError as cause:
        raise SpecError(
            f"'{path}' cannot be opened as a database ({cause}). Stop who uses it, or make room there, and try again"
        ) from None
    except sqlite3.Error:  # damaged
        return False
    return names >= tables


def beside(path: Path) -> Sequence[Path]:
    """A database, and the files that SQLite keeps beside it."""
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError:  # a folder, or what nobody may read
        return False
