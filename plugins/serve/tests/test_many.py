"""Many at a time, on a model that really writes: nothing is lost, mixed up or kept waiting for good."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI, RateLimitError

from generators.llm.scripted import ScriptedLLM
from generators.llm.transformers import TransformersLLM
from plugins.serve.tests.asking import DEADLINE_S, asked, openai_client, posted, until
from plugins.serve.tests.served import served
from plugins.serve.tests.test_chat import Gate, extension
from plugins.serve.tests.walled import MODEL
from rag.core.types import Completion, Message, Prompt, SamplingParams
from rag.pipeline import Pipeline, load_pipeline
from ragline_serve import ServeSettings, create_app
from tests.scripted_graph import graph

THINGS = ("paid leave", "a bicycle", "a laptop", "the warranty", "signatures", "the train", "goggles", "a wheel")
QUESTIONS = [f"What is number {at} of {THINGS[at % 8]}?" for at in range(64)]


@pytest.fixture
def pipeline(index: Path, tiny_graph: dict[str, Any]) -> Iterator[Pipeline]:
    with load_pipeline(tiny_graph, index=index) as loaded:
        yield loaded


def said(official: OpenAI, question: str, *, stream: bool) -> tuple[str, list[str]]:
    """The answer to a question, and the documents it was written from."""
    made = official.chat.completions.create(**asked(question), stream=stream)
    if not stream:
        return made.choices[0].message.content, [source["doc_id"] for source in extension(made)["sources"]]
    chunks = list(made)
    sources = extension(chunks[-1])["sources"]
    assert sources == extension(chunks[0])["sources"]
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks), [one["doc_id"] for one in sources]


def test_64_at_a_time_each_get_the_answer_to_their_own_question(pipeline: Pipeline) -> None:
    alone = {answer.query.text: answer for answer in pipeline.ask_batch(QUESTIONS)}
    assert len({answer.text for answer in alone.values()}) > 32  # answers tell questions apart
    with (
        openai_client(pipeline, max_streams=4, max_batch=16) as official,
        ThreadPoolExecutor(len(QUESTIONS)) as pool,
    ):
        asking = {
            question: pool.submit(said, official, question, stream=at % 2 == 0) for at, question in enumerate(QUESTIONS)
        }
        for question, answer in asking.items():
            text, sources = answer.result(DEADLINE_S)
            assert text == alone[question].text, question
            assert sources == [hit.doc_id for hit in alone[question].context.passages], question


def test_a_batch_at_work_lets_the_others_gather_and_a_full_room_is_429(index: Path) -> None:
    model = Gate()
    with load_pipeline(graph(), index=index) as loaded:
        loaded.graph.parts["answer"].llm = model
        app = create_app(loaded, ServeSettings(model=MODEL, waiting_room=3, max_batch=8))
        _, answers, *_ = app.state.services.first.gatherers
        with served(app) as running, OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as official:
            sockets = [posted(running.url, "/v1/chat/completions", asked("paid leave"))]
            assert model.begun.wait(DEADLINE_S)
            sockets += [posted(running.url, "/v1/chat/completions", asked("warranty")) for _ in range(3)]
            until(lambda: answers.waiting == 3)
            with pytest.raises(RateLimitError) as refused:
                official.chat.completions.create(**asked("laptop"))
            assert int(refused.value.response.headers["Retry-After"]) >= 1
            assert refused.value.code == "overloaded"
            # A search does not wait for answers to be written.
            found = official.post("/search", body={"query": "laptop"}, cast_to=dict[str, Any])
            assert found["hits"][0]["doc_id"] == "texts/d10.md#1"
            model.go.set()
            for waiting in sockets:
                assert waiting.recv(12) == b"HTTP/1.1 200"
                waiting.close()
        assert model.batches == [1, 3]


class Together(ScriptedLLM):
    """Says its first word only when four streams are open at once, as a server or vLLM has them."""

    def __init__(self) -> None:
        super().__init__(replies=("So it is [1].",))
        self.barrier = threading.Barrier(4)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        self.barrier.wait(DEADLINE_S)
        return (yield from super().stream(prompt, params))


def test_a_model_that_takes_several_streams_at_once_gets_them(index: Path) -> None:
    with load_pipeline(graph(), index=index) as loaded:
        loaded.graph.parts["answer"].llm = Together()
        with openai_client(loaded, max_streams=4) as official, ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(said, official, f"paid leave {at}", stream=True) for at in range(4)]
            assert [one.result(DEADLINE_S)[0] for one in asking] == ["So it is [1]."] * 4


def test_streams_and_batches_of_one_model_pass_between_each_others_tokens(tiny_model: Path) -> None:
    """Each pass of the model is a turn of its own: who reads slowly keeps nobody waiting, and all come to their end."""
    llm = TransformersLLM(model=str(tiny_model), device="cpu", dtype="float32")
    params = SamplingParams(max_tokens=24)
    prompts = [[Message(role="user", content=f"say {word}")] for word in ("one", "two", "three", "four")]
    wanted = [completion.text for completion in llm.complete(prompts, params)]
    slow = llm.stream(prompts[0], params)
    begun = next(slow)
    with ThreadPoolExecutor(4) as pool:
        batch = pool.submit(llm.complete, prompts, params)
        streams = [pool.submit(lambda prompt=prompt: "".join(llm.stream(prompt, params))) for prompt in prompts[1:]]
        assert [stream.result(DEADLINE_S) for stream in streams] == wanted[1:]
        assert [completion.text for completion in batch.result(DEADLINE_S)] == wanted
    assert begun + "".join(slow) == wanted[0]
