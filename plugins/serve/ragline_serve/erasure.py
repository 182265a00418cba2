"""How conversations that hold what documents said are taken out of the files of `rag serve --sessions`."""

from __future__ import annotations

from pathlib import Path

from rag.doors import DatabaseKeeper, Leaving


class SessionsKeeper(DatabaseKeeper):
    """Files of conversations of `rag serve`: one that quotes or cites documents that go is forgotten as a whole.

    A half of it would mislead whoever goes on with it.
    """

    name = "sessions"
    tables = frozenset({"sessions", "turns"})

    def erase(self, path: Path, leaving: Leaving) -> str:
        from ragline_serve.http.sessions import Sessions

        sessions = Sessions(path)
        try:
            n = sessions.forget(lambda text, cited: leaving.in_text(text) or leaving.names_any(cited))
        finally:
            sessions.close()
        return f"{n:,} conversations taken out"
