"""A question that is spoken: its words are asked and told; what is none is refused."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from plugins.media.tests.spoken import captions, talk, wav
from plugins.serve.tests.walled import client, question
from rag import build_index, load_pipeline
from rag.cli import main
from rag.errors import SpecError
from rag.types import Content, Message, Query
from ragline_media.asking import sound_of
from ragline_media.sound import asked
from ragline_media.sound.waves import RATE
from tests.scripted_graph import graph as answering

TONE = (0.3 * np.sin(np.arange(3 * RATE) / RATE * 2 * np.pi * 440)).astype(np.float32)
BM25 = {"version": 1, "nodes": {"best": {"use": "retrieve.bm25", "in": "query", "k": 3}}, "output": "best"}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "leave.md").write_text("Paid leave is thirty days.\n")
    (tmp_path / "notes" / "tea.md").write_text("Tea is at four.\n")
    build_index(tmp_path / "notes", tmp_path / "idx", legs=("lexical",))
    return tmp_path / "idx"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every recording says the same; what was written down."""
    seen = list[bytes]()

    def written(data: bytes) -> str:
        seen.append(data)
        return "how much paid leave"

    monkeypatch.setattr(asked, "_written_down", written)
    monkeypatch.setattr(asked, "_known", type(asked._known)())
    return seen


def spoken(tmp_path: Path) -> Content:
    (tmp_path / "q.wav").write_bytes(wav(TONE))
    return sound_of(tmp_path / "q.wav")


def test_words_of_a_recording_are_asked_behind_those_that_are_typed(
    notes: Path, said: list[bytes], tmp_path: Path
) -> None:
    sound = spoken(tmp_path)
    with load_pipeline(BM25, index=notes) as pipeline:
        alone = pipeline.search(Query(qid="1", text="", contents=(sound,)))
        assert (alone.query.text, alone.query.contents) == ("how much paid leave", ())
        assert alone.doc_ids[0] == "notes/leave.md#1"
        both = pipeline.search(Query(qid="1", text="tea?", contents=(sound,)))
        assert both.query.text == "tea? how much paid leave"
        turns = (Message(role="user", content="", contents=(sound,)), Message(role="assistant", content="Thirty."))
        [ranking] = pipeline.run([Query(qid="1", text="tea", history=turns)]).rankings
        assert ranking.query.history[0].content == "how much paid leave"
    assert len(said) == 1, "it is written down once"


def test_the_command_says_what_was_heard(
    notes: Path, said: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoken(tmp_path)
    arguments = ["--index", str(notes), "--graph", "bm25", "--no-server", "--sound", str(tmp_path / "q.wav")]
    assert main(["search", *arguments]) == 0
    shown = capsys.readouterr().out
    assert "asked: how much paid leave" in shown
    assert "leave.md" in shown


def test_over_http_it_is_in_the_request_and_its_words_in_the_reply(
    notes: Path, said: list[bytes], tmp_path: Path
) -> None:
    data = base64.b64encode(wav(TONE)).decode()
    sound = {"kind": "sound", "media_type": "audio/wav", "data": data}
    with load_pipeline(answering(), index=notes) as pipeline, client(pipeline) as asking:
        found = asking.post("/v1/search", json={"query": "please:", "contents": [sound]}).json()
        assert found["hits"][0]["doc_id"] == "notes/leave.md#1"
        assert found["query"] == "please: how much paid leave"
        answer = asking.post("/v1/chat/completions", json=question("please:", ragline={"contents": [sound]})).json()
        assert answer["ragline"]["query"] == "please: how much paid leave"


def test_over_http_a_recording_that_cannot_be_heard_is_refused_in_words(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(data: bytes) -> str:
        raise SpecError("nobody speaks in the recording that is asked with")

    monkeypatch.setattr(asked, "_written_down", written)
    sound = {"kind": "sound", "media_type": "audio/wav", "data": base64.b64encode(wav(TONE[::2])).decode()}
    with load_pipeline(answering(), index=notes) as pipeline, client(pipeline) as asking:
        for reply in (
            asking.post("/v1/search", json={"query": "please:", "contents": [sound]}),
            asking.post("/v1/chat/completions", json=question("please:", ragline={"contents": [sound]})),
        ):
            assert reply.status_code == 400
            assert "nobody speaks" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Content(kind="sound", uri="https://example.org/a.wav", sha256="0" * 64), "an address is opened by nobody"),
        (Content(kind="sound", uri=f"sha256:{'0' * 64}", sha256="0" * 64), "an address is opened by nobody"),
        (Content(kind="sound", uri="data:audio/wav;base64," + "A" * 27_000_000, sha256="0" * 64), "at most 20,000,000"),
    ],
)
def test_what_is_not_in_the_request_is_not_opened(content: Content, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        asked.heard(content)


def test_a_file_that_is_no_recording_is_told(tmp_path: Path) -> None:
    (tmp_path / "q.wav").write_bytes(b"<html></html>")
    with pytest.raises(SpecError, match=r"--sound '.*q\.wav': no sound that is read here"):
        sound_of(tmp_path / "q.wav")
    with pytest.raises(SpecError, match=r"--sound '.*absent\.wav' cannot be read: No such file"):
        sound_of(tmp_path / "absent.wav")


def test_a_long_one_is_refused_before_it_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "MOST_SECONDS", 2)
    with pytest.raises(asked.ReadError, match="longer than 2 seconds"):
        asked.words_of(wav(TONE))


@pytest.mark.data
@pytest.mark.models
def test_a_spoken_question_finds_what_was_said_in_a_talk(eval_data: Path, tmp_path: Path) -> None:
    track, _ = talk(eval_data)
    (tmp_path / "notes").mkdir()
    for number, (_, words) in enumerate(track):
        (tmp_path / "notes" / f"{number:02}.md").write_text(words + "\n")
    build_index(tmp_path / "notes", tmp_path / "idx", legs=("lexical",))
    words, samples = next(each for each in captions(eval_data) if "chaussure" in each[0])
    (tmp_path / "q.wav").write_bytes(wav(samples))
    with load_pipeline(BM25, index=tmp_path / "idx") as pipeline:
        found = pipeline.search(Query(qid="1", text="", contents=(sound_of(tmp_path / "q.wav"),)))
        assert found.hits[0].document.text == words
        silence = wav(np.zeros(3 * RATE, np.float32))
        (tmp_path / "q.wav").write_bytes(silence)
        with pytest.raises(SpecError, match="nobody speaks"):
            pipeline.search(Query(qid="1", text="", contents=(sound_of(tmp_path / "q.wav"),)))
