"""A real index is built again while a server searches it."""

from __future__ import annotations

import fcntl
import gc
import logging
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from starlette.testclient import TestClient

from plugins.serve.tests.asking import DEADLINE_S, openai_client, until
from plugins.serve.tests.test_chat import Gate
from plugins.serve.tests.walled import MODEL, client, question
from rag.core.types import Document
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from ragline_serve.http.indexes import _question
from ragline_serve.service.generations import Current, _Generation
from retrievers.index.generations import CURRENT, HOLD, generations
from retrievers.index.settings import IndexSettings
from tests.scripted_graph import graph

FOLLOW_S = 0.02
FOLLOWING: dict[str, Any] = {"follow_s": FOLLOW_S, "requests_per_minute": None}


def build(folder: Path, word: str, n: int = 1, **more: Any) -> Path:
    """An index of `n` documents on wheels that all say one word; each build replaces the one before."""
    texts = folder / "texts"
    texts.mkdir(exist_ok=True)
    for number in range(n):
        (texts / f"d{number}.md").write_text(f"# Wheels {number}\n\nThe wheels of the {word} are round.\n")
    build_index([texts], folder / "idx", legs=("lexical",), **more)
    return folder / "idx"


def passages(asking: TestClient) -> list[str]:
    """The texts of a search's hits."""
    reply = asking.post("/v1/search", json={"query": "wheels"})
    assert reply.status_code == 200, reply.text
    return [hit["text"] for hit in reply.json()["hits"]]


def identity(asking: TestClient) -> str:
    return str(asking.get("/v1/index").json()["identity"])


def is_held(generation: Path) -> bool:
    """Whether a reader has this generation open: letting go comes a moment after the reply that needed it."""
    try:
        with (generation / HOLD).open("rb") as manifest:
            fcntl.flock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:  # the build that replaced it has removed it already
        return False
    return False


def test_a_new_generation_is_served_without_a_restart_and_the_old_one_goes(tmp_path: Path) -> None:
    index = build(tmp_path, "bicycle")
    with load_pipeline(graph(), index=index) as pipeline, client(pipeline, **FOLLOWING) as asking:
        before = asking.get("/v1/index").json()
        assert before == {"name": "idx", "identity": pipeline.index.identity, "passages": 1, "legs": ["lexical"]} | {
            "parts": [{"name": "idx", "passages": 1}],
            "examples": ["What do the documents say about Wheels 0?"],
            "takes_files": False,
        }
        assert "bicycle" in passages(asking)[0]
        build(tmp_path, "tricycle", n=2)
        until(lambda: identity(asking) != before["identity"])
        assert asking.get("/v1/index").json()["passages"] == 2
        assert all("tricycle" in text for text in passages(asking))
        until(lambda: not is_held(index / "generation-000001"))
        build(tmp_path, "unicycle", n=3)
        until(lambda: asking.get("/v1/index").json()["passages"] == 3)
        assert not (index / "generation-000001").exists()


def test_of_several_indexes_each_is_named_and_gives_questions(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    indexes = [build(tmp_path / "one", "bicycle", n=30), build(tmp_path / "two", "tricycle", n=2)]
    with load_pipeline(graph(), index=indexes) as pipeline, client(pipeline) as asking:
        described = asking.get("/v1/index").json()
        assert described["name"] == "idx and idx~2"
        assert described["parts"] == [{"name": "idx", "passages": 30}, {"name": "idx~2", "passages": 2}]
        assert described["passages"] == 32
        (tmp_path / "two" / "texts" / "d0.md").write_text("# Ferries\n\nThey leave at ten.\n")
    build_index([tmp_path / "two" / "texts"], indexes[1], legs=("lexical",))
    with load_pipeline(graph(), index=indexes) as pipeline, client(pipeline) as asking:
        examples = asking.get("/v1/index").json()["examples"]
    assert len(examples) == 4
    assert examples[1] == "What do the documents say about Ferries?"


def test_models_are_not_loaded_again_and_the_old_index_is_let_go(tmp_path: Path) -> None:
    index = build(tmp_path, "bicycle")
    app = create_app(load_pipeline(graph(), index=index), ServeSettings(model=MODEL, **FOLLOWING))
    before = dict(app.state.services.first.pipeline.graph.parts)
    old = weakref.ref(app.state.services.first.pipeline.index)
    del before["bm25"]
    with TestClient(app) as asking:
        assert asking.post("/v1/chat/completions", json=question()).status_code == 200
        build(tmp_path, "tricycle")
        until(lambda: "tricycle" in passages(asking)[0])
        after = app.state.services.first.pipeline.graph.parts
        assert all(after[name] is part for name, part in before.items())
        until(lambda: gc.collect() >= 0 and old() is None)


def test_a_request_that_runs_keeps_its_generation_until_it_is_done(tmp_path: Path) -> None:
    index = build(tmp_path, "bicycle")
    model = Gate()
    with load_pipeline(graph(), index=index) as pipeline:
        pipeline.graph.parts["answer"].llm = model
        [first] = generations(index)
        with (
            openai_client(pipeline, **FOLLOWING) as official,
            ThreadPoolExecutor(1) as pool,
        ):
            slow = pool.submit(sources, official)
            assert model.begun.wait(DEADLINE_S)
            build(tmp_path, "tricycle", n=2)
            until(lambda: "tricycle" in found(official))
            build(tmp_path, "unicycle", n=3)
            until(lambda: "unicycle" in found(official))
            assert first in generations(index)  # held by the request
            model.go.set()
            assert all("bicycle" in text for text in slow.result(DEADLINE_S))
            until(lambda: not is_held(first))
            build(tmp_path, "sledge")
            assert first not in generations(index)


def test_a_stream_keeps_its_generation_to_its_last_event(tmp_path: Path) -> None:
    index = build(tmp_path, "bicycle")
    with (
        load_pipeline(graph(replies=["One two three four [1]."]), index=index) as pipeline,
        openai_client(pipeline, **FOLLOWING) as official,
    ):
        stream = iter(official.chat.completions.create(**question("wheels"), stream=True))
        begun = next(stream).model_extra["ragline"]["sources"]
        build(tmp_path, "tricycle", n=2)
        until(lambda: "tricycle" in found(official))
        whole = [chunk for chunk in stream if chunk.model_extra and "ragline" in chunk.model_extra][-1]
        assert whole.model_extra["ragline"]["sources"] == begun
        assert "bicycle" in begun[0]["text"]


def sources(official: OpenAI) -> list[str]:
    answer = official.chat.completions.create(**question("wheels"))
    return [source["text"] for source in answer.model_extra["ragline"]["sources"]]


def found(official: OpenAI) -> str:
    reply: dict[str, Any] = official.post("/search", body={"query": "wheels"}, cast_to=dict[str, Any])
    return str(reply["hits"][0]["text"])


def test_every_search_during_rebuilds_sees_one_generation_whole(tmp_path: Path) -> None:
    words = ("bicycle", "tricycle", "unicycle", "sledge", "scooter")
    index = build(tmp_path, words[0], n=6)
    seen: list[set[str]] = []
    end = threading.Event()
    with load_pipeline(graph(), index=index) as pipeline, openai_client(pipeline, **FOLLOWING) as official:

        def search() -> None:
            while not end.is_set():
                reply: dict[str, Any] = official.post("/search", body={"query": "wheels"}, cast_to=dict[str, Any])
                assert len(reply["hits"]) == 3
                seen.append({word for word in words for hit in reply["hits"] if f"the {word} are" in hit["text"]})

        with ThreadPoolExecutor(4) as pool:
            searching = [pool.submit(search) for _ in range(4)]
            for word in words[1:]:
                build(tmp_path, word, n=6)
                until(lambda word=word: seen[-1:] == [{word}])  # type: ignore[misc]
            end.set()
            for one in searching:
                one.result(DEADLINE_S)
    assert all(len(words_of_one) == 1 for words_of_one in seen)
    assert len({next(iter(one)) for one in seen}) == len(words)


def refusing(asking: TestClient, log: pytest.LogCaptureFixture) -> str:
    """The one line that says why the newest generation is not served."""
    until(lambda: bool(lines(log)))
    time.sleep(10 * FOLLOW_S)
    assert "bicycle" in passages(asking)[0]
    [line] = lines(log)
    return line


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.name == "ragline_serve.service.generations"]


def test_a_damaged_generation_is_refused_and_the_next_sound_one_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = build(tmp_path, "bicycle")
    with load_pipeline(graph(), index=index) as pipeline, client(pipeline, **FOLLOWING) as asking:
        caplog.set_level(logging.WARNING)
        good = pipeline.index.identity
        # A generation that was published and has lost a byte since: put in place whole, as a copy of files would.
        spare = build_spare(tmp_path, "tricycle")
        for file in spare.glob("lexical/*"):
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 255
            file.write_bytes(content)
        publish(index, spare)
        assert "damaged" in refusing(asking, caplog)
        assert identity(asking) == good
        build(tmp_path, "unicycle")
        until(lambda: any("unicycle" in text for text in passages(asking)))


def build_spare(folder: Path, word: str) -> Path:
    """The generation of another index."""
    (folder / "spare").mkdir()
    return generations(build(folder / "spare", word))[-1]


def publish(index: Path, generation: Path) -> None:
    from rag.core.digests import file_sha256

    place = index / "generation-000099"
    generation.rename(place)
    proposal = index / "CURRENT.next"
    proposal.write_text(f"{place.name} {file_sha256(place / 'manifest.json')}\n")
    proposal.rename(index / CURRENT)


def test_a_generation_of_other_settings_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = {**graph(), "index": {"chunking": {"tokens": 256}}}
    index = build(tmp_path, "bicycle", settings=IndexSettings.model_validate(wanted["index"]))
    with load_pipeline(wanted, index=index) as pipeline, client(pipeline, **FOLLOWING) as asking:
        caplog.set_level(logging.WARNING)
        other = IndexSettings.model_validate({"chunking": {"tokens": 64}})
        build(tmp_path, "tricycle", settings=other)
        assert "tokens" in refusing(asking, caplog)


def test_a_generation_that_needs_more_memory_than_there_is_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = build(tmp_path, "bicycle")
    with load_pipeline(graph(), index=index) as pipeline, client(pipeline, **FOLLOWING) as asking:
        caplog.set_level(logging.WARNING)
        monkeypatch.setenv("RAGLINE_MEMORY_GIB", "0.01")
        build(tmp_path, "tricycle")
        assert "of RAM" in refusing(asking, caplog)


def test_an_index_that_goes_away_is_told_once_and_served_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = build(tmp_path, "bicycle")
    with load_pipeline(graph(), index=index) as pipeline, client(pipeline, **FOLLOWING) as asking:
        caplog.set_level(logging.WARNING)
        (index / CURRENT).rename(index / "gone")
        assert "no index at" in refusing(asking, caplog)
        (index / "gone").rename(index / CURRENT)
        build(tmp_path, "tricycle")
        until(lambda: "tricycle" in passages(asking)[0])


def test_without_follow_s_the_server_stays_with_the_index_as_it_was_opened(tmp_path: Path) -> None:
    index = build(tmp_path, "bicycle")
    with load_pipeline(graph(), index=index) as pipeline:
        app = create_app(pipeline, ServeSettings())
        assert app.state.services.follower(1.0) is not None
        with TestClient(app) as asking:
            build(tmp_path, "tricycle")
            time.sleep(10 * FOLLOW_S)
            assert "bicycle" in passages(asking)[0]


def test_the_last_user_of_an_older_one_closes_it_and_nobody_else() -> None:
    closed: list[str] = []
    current = Current("first")
    with current.use() as first:
        with current.use():
            current.replace("second", close=lambda: closed.append("first"))
            assert (first, current.now) == ("first", "second")
        assert not closed
        with current.use() as second:
            assert second == "second"
    assert closed == ["first"]
    current.replace("third", close=lambda: closed.append("second"))
    assert closed == ["first", "second"]


def test_a_use_may_end_in_the_midst_of_a_replacement_of_the_same_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the garbage collector ends a stream that was left: it comes wherever memory is asked for."""
    current, closed = Current("first"), list[str]()
    left = current.use()
    left.__enter__()

    def made(newer: str) -> _Generation[str]:
        left.__exit__(None, None, None)
        return _Generation(newer)

    monkeypatch.setattr("ragline_serve.service.generations._Generation", made)
    replacing = threading.Thread(
        target=lambda: current.replace("second", close=lambda: closed.append("first")), daemon=True
    )
    replacing.start()
    replacing.join(DEADLINE_S)
    assert (current.now, closed) == ("second", ["first"])


def test_questions_come_from_prose_and_of_tables_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "airports.csv").write_text("name,state\n" + "".join(f"Park {n},AK\n" for n in range(60)))
    build_index([texts], tmp_path / "idx", legs=("lexical",))
    with load_pipeline(graph(), index=tmp_path / "idx") as pipeline, client(pipeline) as asking:
        assert "airports" in asking.get("/v1/index").json()["examples"][0]
    (texts / "boats.md").write_text("# Ferries\n\nThey leave at ten.\n")
    build_index([texts], tmp_path / "idx", legs=("lexical",))
    with load_pipeline(graph(), index=tmp_path / "idx") as pipeline, client(pipeline) as asking:
        assert asking.get("/v1/index").json()["examples"] == ["What do the documents say about Ferries?"]


@pytest.mark.parametrize(
    ("title", "text", "asked"),
    [
        ("Who may print?", "The pupils may print.", "Who may print?"),
        ("Wer darf drucken??", "Das darf nur, wer in der Liste ist.", "Wer darf drucken?"),
        ("Why is the key of the cellar with us?", "It is.", "Why is the key of the cellar with us?"),
        ("誰が印刷できますか？？", "生徒は印刷できます。", "誰が印刷できますか？"),
        ("???", "The text of the document is this.", ""),
        (
            "8.3.1. Zahlungen",
            "Die Zahlung ist mit dem Konto zu machen.",
            "Was sagen die Dokumente zum Thema Zahlungen?",
        ),
        ("Liées au dessin", "Le dessin est dans la page et il est aussi sur la carte.", "Liées au dessin"),
        ("2.0 is out", "The release of this is the one with all of it.", "What do the documents say about 2.0 is out?"),
        ("GNU/Linux and more", "Words", "What do the documents say about GNU/Linux and more?"),
        ("年次休暇", "年次休暇は三十日です。", "年次休暇"),
        ("EDA", "The data are in the table of the penguins.", ""),
        ("server/smartd.conf", "The disks are in this file.", ""),
        ("smartd.conf", "The disks are in this file.", ""),
        ("notes", "The disks are in this file.", ""),
    ],
)
def test_a_question_is_one_that_people_ask(title: str, text: str, asked: str) -> None:
    assert _question(Document(doc_id="notes", title=title, text=text)) == asked


@given(st.text(max_size=90))
def test_whatever_a_title_says_a_question_is_one_line_of_it(title: str) -> None:
    question = _question(Document(doc_id="d", title=title, text="The text of the document is this."))
    assert question.isprintable()
    assert not question.endswith("??")
    assert len(question) <= 81
