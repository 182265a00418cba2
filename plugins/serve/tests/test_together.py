"""Answers of a model that writes its streams together: one batch for all of them, and no work for who has left."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI, RateLimitError

from plugins.serve.tests.asking import DEADLINE_S, asked, posted, until
from plugins.serve.tests.served import served
from plugins.serve.tests.test_many import QUESTIONS, said
from plugins.serve.tests.walled import MODEL
from rag.pipeline import Pipeline, load_pipeline
from ragline_serve import ServeSettings, create_app
from ragline_serve.service.service import Service
from tests.generators.llm.serving import serving as model_server

TOKENS = 20  # of an answer, as the graph has it
LONG = 450


@contextmanager
def serving(pipeline: Pipeline, **settings: Any) -> Iterator[tuple[Service, str, OpenAI]]:
    app = create_app(pipeline, ServeSettings(model=MODEL, **settings))
    with (
        served(app) as running,
        OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=DEADLINE_S) as official,
    ):
        yield app.state.services.first, running.url, official


@contextmanager
def passes_of(pipeline: Pipeline, each: Callable[[int], None]) -> Iterator[None]:
    """`each` is told the rows of every pass before it is made."""
    llm: Any = pipeline.graph.models["small"]
    with llm.weights() as lent:
        hook = lent.model.register_forward_pre_hook(
            lambda _, __, given: each(len(given["input_ids"])), with_kwargs=True
        )
    try:
        yield
    finally:
        hook.remove()


def test_answers_and_streams_of_many_callers_share_their_passes(index: Path, tiny_graph: dict[str, Any]) -> None:
    questions, passes = QUESTIONS[:16], list[int]()
    with load_pipeline(tiny_graph, index=index) as pipeline:
        alone = {answer.query.text: answer.text for answer in pipeline.ask_batch(questions)}
        with serving(pipeline) as (service, _, official), ThreadPoolExecutor(len(questions)) as pool:
            llm: Any = pipeline.graph.models["small"]
            with passes_of(pipeline, passes.append):
                with llm.weights():  # nobody begins before all are there
                    asking = {
                        question: pool.submit(said, official, question, stream=at % 2 == 0)
                        for at, question in enumerate(questions)
                    }
                    until(lambda: service.streams.running == service.wholes.running == 8)
                for question, answer in asking.items():
                    assert answer.result(DEADLINE_S)[0] == alone[question], question
    # The first one's prompt, the others' prompts, and a pass for each further token; not one for each of them.
    assert max(passes) == len(questions)
    assert len(passes) <= TOKENS + 2


def test_who_leaves_is_written_no_further_streamed_or_not(index: Path, tiny_graph: dict[str, Any]) -> None:
    long = copy.deepcopy(tiny_graph)
    long["nodes"]["answer"]["with"]["max_tokens"] = LONG
    passes, three, go = list[int](), threading.Event(), threading.Event()

    def each(rows: int) -> None:
        passes.append(rows)
        if rows == 3:
            three.set()
            assert go.wait(DEADLINE_S)

    with (
        load_pipeline(long, index=index) as pipeline,
        serving(pipeline) as (service, url, official),
        passes_of(pipeline, each),
        ThreadPoolExecutor(1) as pool,
    ):
        llm: Any = pipeline.graph.models["small"]
        with llm.weights():  # nobody begins before all are there
            # written by chance, since a model of noise that writes the likeliest goes round, and is stopped
            staying = pool.submit(official.chat.completions.create, **asked(QUESTIONS[0]), temperature=1.0, seed=1)
            leaving = [
                posted(url, "/v1/chat/completions", asked(question) | {"stream": stream})
                for question, stream in ((QUESTIONS[1], True), (QUESTIONS[2], False))
            ]
            until(lambda: service.streams.running == 1 and service.wholes.running == 2)
        assert three.wait(DEADLINE_S)
        for one in leaving:
            one.close()
        go.set()
        until(lambda: service.streams.running == 0 and service.wholes.running == 1)
        left_after = len(passes)
        answer = staying.result(DEADLINE_S)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == LONG
    assert left_after < LONG / 2
    assert set(passes[left_after + 1 :]) == {1}


def test_metrics_tell_what_the_model_has_and_who_has_left_is_not_in_it(index: Path, tiny_graph: dict[str, Any]) -> None:
    with load_pipeline(tiny_graph, index=index) as pipeline, serving(pipeline) as (_, url, _):
        llm: Any = pipeline.graph.models["small"]

        def said(state: str) -> float:
            lines = httpx2.get(f"{url}/metrics").text.splitlines()
            wanted = f'ragline_model_requests{{model="small",state="{state}"}} '
            return next(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))

        llm.warm_up()
        with llm.weights():  # nobody begins
            leaving = [
                posted(url, "/v1/chat/completions", asked(question) | {"stream": True}) for question in QUESTIONS[:3]
            ]
            until(lambda: (said("busy"), said("waiting")) == (0.0, 3.0))
            for one in leaving:
                one.close()
        until(lambda: (said("busy"), said("waiting")) == (0.0, 0.0))
        assert said("places") == math.inf


def test_who_leaves_ends_the_request_to_a_server_of_models_too(index: Path, tiny_graph: dict[str, Any]) -> None:
    over = copy.deepcopy(tiny_graph)
    with load_pipeline(tiny_graph, index=index) as behind, model_server(behind.graph.models["small"]) as models:
        over["models"]["small"] = {"use": "llm.server", "with": {"url": models.url, "model": "tiny"}}
        over["nodes"]["answer"]["with"]["max_tokens"] = LONG
        models.token_pause_s = 0.02  # an answer that is written before its caller leaves would break nothing
        with load_pipeline(over, index=index) as pipeline, serving(pipeline) as (service, url, _):
            one = posted(url, "/v1/chat/completions", asked(QUESTIONS[0]))
            until(lambda: models.at_once == 1 and service.wholes.running == 1)
            one.close()
            until(lambda: models.broken_streams == 1)
            until(lambda: service.wholes.running == 0)


def test_one_more_than_the_room_holds_is_refused(index: Path, tiny_graph: dict[str, Any]) -> None:
    with (
        load_pipeline(tiny_graph, index=index) as pipeline,
        serving(pipeline, max_batch=1, waiting_room=1) as (service, url, official),
        ThreadPoolExecutor(2) as pool,
    ):
        llm: Any = pipeline.graph.models["small"]
        with llm.weights():
            asking = [pool.submit(said, official, QUESTIONS[0], stream=False)]
            until(lambda: service.wholes.running == 1)
            asking.append(pool.submit(said, official, QUESTIONS[1], stream=False))
            until(lambda: service.wholes.waiting == 1)
            assert 'ragline_waiting{part="whole"} 1.0' in httpx2.get(f"{url}/metrics").text
            with pytest.raises(RateLimitError) as refused:
                said(official, QUESTIONS[2], stream=False)
            assert refused.value.code == "overloaded"
        assert all(one.result(DEADLINE_S)[0] for one in asking)


def test_an_answer_that_fails_fails_alone(index: Path, tiny_graph: dict[str, Any]) -> None:
    with (
        load_pipeline(tiny_graph, index=index) as pipeline,
        serving(pipeline) as (service, _, official),
        ThreadPoolExecutor(3) as pool,
    ):
        wanted = [answer.text for answer in pipeline.ask_batch(QUESTIONS[:3])]
        generator: Any = pipeline.graph.parts["answer"]
        llm: Any = pipeline.graph.models["small"]
        plain = generator._render

        def rendered(prompt: Any, context: Any) -> Any:
            if context.query.text == QUESTIONS[1]:
                raise RuntimeError("/home/secret/prompt is broken")
            return plain(prompt, context)

        generator._render = rendered
        with llm.weights():
            asking = [pool.submit(said, official, question, stream=False) for question in QUESTIONS[:3]]
            until(lambda: service.wholes.running == 2)
        error = asking[1].exception(DEADLINE_S)
        assert "stage 'answer' failed" in str(error)
        assert "secret" not in str(error)
        assert [asking[at].result(DEADLINE_S)[0] for at in (0, 2)] == [wanted[0], wanted[2]]
