"""The log of questions behind a server."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plugins.serve.tests.walled import question, walled
from rag.asked import Entry, QuestionLog
from rag.core.errors import SpecError
from rag.core.types import Document
from rag.erasure import erase_from_index
from ragline_serve.http.sessions import Sessions
from tests.small_index import small_index


@pytest.fixture
def index(tmp_path: Path, documents: Sequence[Document]) -> Path:
    """One that may be changed."""
    return small_index(tmp_path, documents)


def test_a_file_of_questions_is_none_of_conversations(tmp_path: Path) -> None:
    Sessions(tmp_path / "sessions.db").close()
    with pytest.raises(SpecError, match="questions"):
        QuestionLog(tmp_path / "sessions.db")
    QuestionLog(tmp_path / "asked.db").close()
    with pytest.raises(SpecError, match="something else than conversations"):
        Sessions(tmp_path / "asked.db")


def asked(asking: TestClient, text: str, **more: Any) -> dict[str, Any]:
    reply = asking.post("/v1/chat/completions", json=question(text, **more))
    assert reply.status_code == 200
    if not more.get("stream"):
        return reply.json()["ragline"]  # type: ignore[no-any-return]
    events = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    return next(each["ragline"] for each in reversed(events) if "stages" in each.get("ragline", {}))  # type: ignore[no-any-return]


@pytest.mark.parametrize("stream", [False, True])
def test_the_server_keeps_what_it_answers_and_takes_what_is_said_of_it(
    tmp_path: Path, index: Path, stream: bool
) -> None:
    file = tmp_path / "asked.db"
    with walled(index, {"replies": ["Thirty [1]."]}, log_file=file) as asking:
        told = asked(asking, "How many days of paid leave?", stream=stream)
        good = {"entry": told["entry"], "good": True, "comment": "So it is."}
        assert asking.post("/v1/feedback", json=good).status_code == 204
        refused = asking.post("/v1/feedback", json={**good, "entry": "made up"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_entry")
    with closing(QuestionLog(file)) as log:
        [kept] = log.entries()
    assert (kept.question, kept.answer, kept.door) == ("How many days of paid leave?", "Thirty [1].", "serve")
    assert list(kept.passages) == [each["doc_id"] for each in told["sources"]]
    assert list(kept.cited) == [told["sources"][0]["doc_id"]]
    assert (kept.good, kept.comment) == (True, "So it is.")


def test_where_no_log_is_kept_there_is_nothing_to_rate(index: Path) -> None:
    with walled(index) as asking:
        assert asked(asking, "How many days of paid leave?")["entry"] is None
        refused = asking.post("/v1/feedback", json={"entry": "x", "good": True})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_log")


def test_an_answer_is_given_where_it_cannot_be_kept(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: QuestionLog, entry: Entry) -> str:
        raise sqlite3.OperationalError("disk is full")

    monkeypatch.setattr(QuestionLog, "add", full)
    with walled(index, log_file=tmp_path / "asked.db") as asking:
        assert asked(asking, "How many days of paid leave?")["entry"] is None


def test_what_quotes_or_cites_a_document_goes_with_it(tmp_path: Path, index: Path) -> None:
    file = tmp_path / "asked.db"
    with walled(index, {"replies": ["Thirty [1].", "Two [1]."]}, log_file=file) as asking:
        asked(asking, "How many days of paid leave?")
        asked(asking, "How many sign orders above five hundred euros?")
    with closing(QuestionLog(file)) as log:
        before = list(log.entries())
    holding = [each.question for each in before if any("d02" in doc_id for doc_id in each.passages)]
    receipt = erase_from_index(["texts/d02.md"], index, also=[file])
    assert receipt.clean
    [place] = [place for place in receipt.places if place.kind == "questions"]
    assert place.done == f"{len(holding)} questions taken out"
    with closing(QuestionLog(file)) as log:
        assert [each.question for each in log.entries()] == [
            each.question for each in before if each.question not in holding
        ]


def test_what_is_said_of_an_answer_that_was_erased_is_refused_and_kept_nowhere(tmp_path: Path, index: Path) -> None:
    file = tmp_path / "asked.db"
    kept = Entry(question="How many days?", answer="Thirty.", status="answered", cited=("texts/d02.md#1",))
    with closing(QuestionLog(file)) as log:
        said = {"entry": log.add(kept), "good": True, "comment": "a xylophone"}
    assert erase_from_index(["texts/d02.md"], index, also=[file]).clean
    with walled(index, log_file=file) as asking:
        refused = asking.post("/v1/feedback", json=said)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_entry")
    assert refused.json()["error"]["message"] == "No such answer of yours is kept."
    assert not any(b"xylophone" in path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
