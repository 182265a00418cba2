"""A server whose disk is full: it goes on answering, says why it cannot write, and writes when there is room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugins.serve.tests.walled import question, walled
from ragline_serve.service.keys import add_key
from tests.small_index import small_index
from tests.stopped import files_of_at_most

ZEBRA = {"id": "zebra", "text": "The zebrafish lives in the tank by the door."}


def test_documents_are_refused_with_the_reason_and_come_in_later(tmp_path: Path, documents: Any) -> None:
    index, key = small_index(tmp_path, documents), add_key(tmp_path / "keys", "writer", writes=True)
    by = {"Authorization": f"Bearer {key}"}
    with walled(index, keys_file=tmp_path / "keys", follow_s=0.05) as client:
        for path, body, n_documents in (("", {"documents": [ZEBRA]}, 13), ("/remove", {"ids": ["zebra"]}, 12)):
            with files_of_at_most(0):
                reply = client.post(f"/v1/documents{path}", json=body, headers=by)
                asked = client.post("/v1/search", json={"query": "paid leave"}, headers=by)
            assert (reply.status_code, reply.json()["error"]["code"]) == (507, "no_room")
            assert "no room to write the index" in reply.json()["error"]["message"]
            assert str(tmp_path) not in reply.text
            assert asked.status_code == 200
            assert asked.json()["hits"]
            reply = client.post(f"/v1/documents{path}", json=body, headers=by)
            assert (reply.status_code, reply.json()["documents"]) == (200, n_documents)


def test_a_conversation_that_cannot_be_forgotten_is_told_and_is_forgotten_later(tmp_path: Path, documents: Any) -> None:
    index, file = small_index(tmp_path, documents), tmp_path / "sessions.db"
    with walled(index, sessions_file=file) as client:
        body = question(ragline={"session": "new"})
        session = client.post("/v1/chat/completions", json=body).json()["ragline"]["session"]
        with files_of_at_most(0):
            reply = client.delete(f"/v1/sessions/{session}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "sessions_unavailable")
        assert "still there" in reply.json()["error"]["message"]
        assert str(tmp_path) not in reply.text
        assert client.delete(f"/v1/sessions/{session}").status_code == 204
        assert client.delete(f"/v1/sessions/{session}").status_code == 404
