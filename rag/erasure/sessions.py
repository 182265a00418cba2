"""Files of conversations of `rag serve`: one that quotes documents that go is forgotten as a whole."""

from __future__ import annotations

from pathlib import Path

from rag.erasure.keeper import Keeper
from rag.erasure.leaving import Leaving

_FIRST = b"SQLite format 3\0"


class SessionsKeeper(Keeper):
    """A half of a conversation would mislead whoever goes on with it."""

    name = "sessions"

    def recognises(self, path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_FIRST)) == _FIRST

    def erase(self, path: Path, leaving: Leaving) -> str:
        from rag.serve.sessions import Sessions

        sessions = Sessions(path)
        try:
            n = sessions.forget(leaving.in_text)
        finally:
            sessions.close()
        return f"{n:,} conversations taken out"
