from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from generators.llm import LLMS
from generators.llm.scripted import ScriptedLLM
from plugins.serve.tests.walled import client, question, walled
from rag.core.report import RunResult, node_report
from rag.core.types import Completion, Outcome, Prompt, Query, Ranking, SamplingParams, Usage
from rag.pipeline import load_pipeline
from ragline_serve.service.metrics import MeasuredApp, Metrics
from tests.scripted_graph import graph

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(asking: TestClient) -> Series:
    """What /metrics tells, read by Prometheus' own parser."""
    told = asking.get("/metrics")
    assert told.status_code == 200
    assert told.headers["content-type"].startswith("text/plain")
    return parsed(told.text)


def parsed(text: str) -> Series:
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(series: Series, name: str, **labels: str) -> float:
    return series.get((f"ragline_{name}", tuple(sorted(labels.items()))), 0.0)


def test_requests_are_counted_by_route_method_and_status(index: Path) -> None:
    with walled(index, requests_per_minute=8) as asking:
        for _ in range(3):
            asking.post("/v1/search", json={"query": "leave"})
        asking.post("/v1/search", json={"query": ""})
        asking.get("/v1/models/another")
        asking.get("/nowhere")
        series = read(asking)
        assert asking.post("/v1/search", json={"query": "leave"}).status_code == 200
        assert asking.post("/v1/search", json={"query": "leave"}).status_code == 429
    assert value(series, "requests_total", route="/v1/search", method="POST", status="200") == 3
    assert value(series, "requests_total", route="/v1/search", method="POST", status="400") == 1
    assert value(series, "requests_total", route="/v1/models/{model:path}", method="GET", status="404") == 1
    assert value(series, "requests_total", route="other", method="GET", status="404") == 1
    assert value(series, "errors_total", route="/v1/search", by="client") == 1
    assert value(series, "request_seconds_count", route="/v1/search") == 4
    assert value(series, "requests_in_flight") == 1, "the one that reads them"
    assert not [name for name, labels in series if name == "ragline_errors_total" and ("by", "server") in labels]


def test_nodes_tokens_and_outcomes_are_those_of_the_answers(index: Path) -> None:
    with walled(index) as asking:
        replies = [asking.post("/v1/chat/completions", json=question()).json() for _ in range(2)]
        streamed = asking.post("/v1/chat/completions", json=question(stream=True))
        assert streamed.text.endswith("data: [DONE]\n\n")
        assert asking.post("/v1/search", json={"query": "zzz"}).json()["hits"] == []
        series = read(asking)
    usage = replies[0]["usage"]
    assert value(series, "tokens_total", node="answer", kind="prompt") == 3 * usage["prompt_tokens"] > 0
    assert value(series, "tokens_total", node="answer", kind="new") == 3 * usage["completion_tokens"] > 0
    assert value(series, "outcomes_total", node="answer", kind="ok") == 3
    assert value(series, "outcomes_total", node="bm25", kind="ok") == 3
    assert value(series, "outcomes_total", node="bm25", kind="empty") == 1
    for node, use in (("bm25", "retrieve.bm25"), ("context", "assemble.token_budget"), ("answer", "generate.cited")):
        assert value(series, "node_seconds_count", node=node, use=use) == (4 if node == "bm25" else 3)
    assert value(series, "first_token_seconds_count") == 1
    assert value(series, "batch_size_count", part="answer") == 2


class WaitingLLM(ScriptedLLM):
    """Answers when it is told to; says when it was asked."""

    def __init__(self) -> None:
        super().__init__(replies=("It is so [1].",))
        self.asked, self.go = threading.Semaphore(0), threading.Event()

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        self.asked.release()
        assert self.go.wait(60)
        return super().complete(prompts, params)


@pytest.fixture
def waiting(index: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TestClient, WaitingLLM]]:
    monkeypatch.setitem(LLMS._table, "waiting", WaitingLLM)
    data: dict[str, Any] = graph() | {"models": {"small": {"use": "llm.waiting"}}}
    with load_pipeline(data, index=index) as pipeline, client(pipeline) as asking:
        llm = pipeline.graph.models["small"]
        assert isinstance(llm, WaitingLLM)
        try:
            yield asking, llm
        finally:
            llm.go.set()


def test_what_is_under_way_and_what_waits_shows_while_it_does(waiting: tuple[TestClient, WaitingLLM]) -> None:
    asking, llm = waiting
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(asking.post, "/v1/chat/completions", json=question())
        assert llm.asked.acquire(timeout=60)
        others = [pool.submit(asking.post, "/v1/chat/completions", json=question()) for _ in range(3)]
        while value(series := read(asking), "waiting", part="answer") < 3:
            assert not any(other.done() for other in others)
        assert value(series, "requests_in_flight") == 5
        llm.go.set()
        assert [done.result(60).status_code for done in (first, *others)] == [200] * 4
    series = read(asking)
    assert value(series, "waiting", part="answer") == 0
    assert value(series, "requests_in_flight") == 1
    assert value(series, "batch_size_count", part="answer") == 2
    assert value(series, "batch_size_sum", part="answer") == 4
    assert value(series, "batch_size_bucket", part="answer", le="1.0") == 1, "the first one alone, the others together"


def test_what_is_down_shows(index: Path) -> None:
    with walled(index) as asking:
        service = asking.app.state.services.first  # type: ignore[attr-defined]
        assert value(read(asking), "degraded", part="answer") == 0
        service.down.note("answer")
        series = read(asking)
        assert value(series, "degraded", part="answer") == 1
        assert value(series, "degraded", part="ranked") == 0
        service.down.clear("answer")
        assert value(read(asking), "degraded", part="answer") == 0


def test_nothing_that_a_client_sends_becomes_a_label(index: Path) -> None:
    with walled(index, requests_per_minute=None) as asking:

        def bother(round_: int) -> None:
            for number in range(40):
                name = f"r{round_}n{number}"
                asking.request(f"METHOD{number}{round_}", f"/{name}")
                asking.get(f"/v1/models/{name}")
                asking.delete(f"/v1/sessions/{name}")
                asking.post("/v1/search", json={"query": name, "where": {name: name}})
                asking.post("/v1/chat/completions", json=question(name, model=name, user=name))

        read(asking)
        bother(1)
        before = read(asking)
        bother(2)
        assert set(read(asking)) == set(before)


def test_outcomes_of_no_known_kind_share_a_label() -> None:
    metrics = Metrics()
    strange: Any = "strange\n} 1"
    ranking = Ranking(query=Query(qid="1", text="q"), outcome=Outcome(kind=strange), usage=Usage(cached_tokens=7))
    report = node_report("bm25", "retrieve.bm25", 0.5, 1, [ranking, ranking])
    metrics.result(RunResult(queries=(), outputs=(), records={}, nodes=(report,), failures=(), seconds=0.5))
    series = parsed(metrics.text().decode())
    assert value(series, "outcomes_total", node="bm25", kind="other") == 2
    assert value(series, "tokens_total", node="bm25", kind="cached") == 14
    assert value(series, "node_seconds_sum", node="bm25", use="retrieve.bm25") == 0.5


def test_applications_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.batch("search", 3)
    assert value(parsed(one.text().decode()), "batch_size_sum", part="search") == 3
    assert value(parsed(other.text().decode()), "batch_size_sum", part="search") == 0


START: Message = {"type": "http.response.start", "status": 200, "headers": []}
PIECE: Message = {"type": "http.response.body", "body": b"x", "more_body": True}
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    ("sent", "gone", "error", "status", "by"),
    [
        ([START, PIECE, END], False, None, "200", None),
        ([START, PIECE, END], True, None, "200", None),
        ([START, PIECE], True, None, "gone", None),
        ([START, PIECE], False, None, "broken", "server"),
        ([], False, RuntimeError(), "broken", "server"),
        ([], True, asyncio.CancelledError(), "gone", None),
    ],
)
def test_an_answer_that_broke_off_is_told_from_a_client_that_left(
    sent: list[Message], gone: bool, error: BaseException | None, status: str, by: str | None
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in sent[:-1]:
            await send(message)
        if gone:
            await receive()
        for message in sent[-1:]:
            await send(message)
        if error is not None:
            raise error

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    metrics = Metrics()
    scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
    with pytest.raises(type(error)) if error is not None else nullcontext():
        asyncio.run(MeasuredApp(app, metrics=metrics)(scope, receive, send))
    series = parsed(metrics.text().decode())
    assert value(series, "requests_total", route="other", method="POST", status=status) == 1
    assert value(series, "errors_total", route="other", by="server") == (by == "server")
    assert value(series, "requests_in_flight") == 0
