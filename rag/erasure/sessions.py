"""Files of conversations of `rag serve`: one that quotes documents that go is forgotten as a whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rag.erasure.keeper import Keeper
from rag.erasure.leaving import Leaving

_TABLES = {"sessions", "turns"}


class SessionsKeeper(Keeper):
    """A half of a conversation would mislead whoever goes on with it."""

    name = "sessions"

    def recognises(self, path: Path) -> bool:
        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
                names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.Error:  # a folder, or a file of something else
            return False
        return names >= _TABLES

    def places(self, path: Path) -> Sequence[Path]:
        return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]

    def erase(self, path: Path, leaving: Leaving) -> str:
        from rag.serve.sessions import Sessions

        sessions = Sessions(path)
        try:
            n = sessions.forget(leaving.in_text)
        finally:
            sessions.close()
        return f"{n:,} conversations taken out"
