"""Several graphs over one index behind one server, each as a model."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from openai import NotFoundError, OpenAI
from starlette.testclient import TestClient

from plugins.serve.tests.asking import DEADLINE_S, asked, until
from plugins.serve.tests.served import served
from plugins.serve.tests.walled import question
from rag.core.errors import MissingModel, SpecError
from rag.core.memory import Machine
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.memory_plan import plan_memory, plan_side_by_side
from ragline_serve import ServeSettings, create_app
from retrievers.index.opening import open_index
from tests.scripted_graph import graph

SHORT, LONG = "Thirty days [1].", "It is thirty days a year [1]."


@pytest.fixture
def pipelines(index: Path) -> Iterator[dict[str, Pipeline]]:
    """Two graphs that answer differently and one that ranks, over one index."""
    ranking = graph()
    del ranking["models"], ranking["nodes"]["context"], ranking["nodes"]["answer"]
    specs = {"short": graph(replies=[SHORT]), "long": graph(replies=[LONG]), "search": ranking | {"output": "ranked"}}
    with open_index(index) as shared, ExitStack() as stack:
        yield {name: stack.enter_context(load_pipeline(spec, index=shared)) for name, spec in specs.items()}


def code_of(reply: Any) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


def test_each_graph_is_a_model(pipelines: dict[str, Pipeline]) -> None:
    with (
        served(create_app(pipelines)) as running,
        OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=DEADLINE_S) as client,
    ):
        assert [model.id for model in client.models.list()] == ["short", "long", "search"]
        assert client.models.retrieve("long").id == "long"
        for name, said in (("short", "Thirty days [1]."), ("long", LONG)):
            reply = client.chat.completions.create(**asked() | {"model": name})
            assert (reply.model, reply.choices[0].message.content) == (name, said)
            chunks = list(client.chat.completions.create(**asked() | {"model": name}, stream=True))
            assert {chunk.model for chunk in chunks} == {name}
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said
        for name in ("ragline", "shorts", "", "x" * 500):
            with pytest.raises(NotFoundError, match="there is 'short', 'long', 'search'") as refused:
                client.chat.completions.create(**asked() | {"model": name})
            assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_other_endpoints_take_the_first_unless_they_name_one(pipelines: dict[str, Pipeline]) -> None:
    with TestClient(create_app(pipelines)) as asking:
        search = {"query": "paid leave"}
        first = asking.post("/v1/search", json=search).json()
        assert first["hits"] == asking.post("/v1/search", json=search | {"model": "search"}).json()["hits"]
        assert code_of(asking.post("/v1/search", json=search | {"model": "x"})) == (404, "model_not_found")
        documents = {"query": "leave", "documents": ["a", "b"]}
        assert asking.post("/v1/rerank", json=documents).json()["model"] == "short"
        assert asking.post("/v1/rerank", json=documents | {"model": "long"}).json()["model"] == "long"
        assert code_of(asking.post("/v1/rerank", json=documents | {"model": "x"})) == (404, "model_not_found")
        assert code_of(asking.post("/v1/embeddings", json={"model": "x", "input": "a"})) == (404, "model_not_found")
        assert code_of(asking.post("/v1/chat/completions", json=question(model="search"))) == (400, "no_answers")


def test_the_index_is_one_and_what_is_told_names_the_model(pipelines: dict[str, Pipeline]) -> None:
    assert len({id(pipeline.index) for pipeline in pipelines.values()}) == 1

    def down() -> str:
        raise MissingModel("no server answers")

    vars(pipelines["long"].graph.models["small"])["state"] = (
        down  # of this model alone: Python remembers what a class can do
    )
    with TestClient(create_app(pipelines)) as asking:
        until(lambda: asking.get("/ready").status_code == 200)
        ready = asking.get("/ready").json()
        assert (ready["status"], [part["part"] for part in ready["degraded"]]) == ("degraded", ["long/model small"])
        asking.post("/v1/chat/completions", json=question(model="short"))
        metrics = asking.get("/metrics").text
        assert 'ragline_node_seconds_count{node="short/answer",use="generate.cited"} 1.0' in metrics
        assert 'ragline_waiting{part="long/search"} 0.0' in metrics
        assert 'ragline_node_seconds_count{node="long/answer"' not in metrics
        health = asking.get("/health")
    assert health.json() == {"status": "ok"}


def test_no_pipeline_is_no_server() -> None:
    with pytest.raises(SpecError, match="every model needs a name"):
        create_app({})


def test_shared_weights_count_once(index: Path, tiny_graph: dict[str, Any]) -> None:
    machine = Machine(ram=None, said_by="the test")
    with (
        open_index(index) as shared,
        load_pipeline(tiny_graph, index=shared) as one,
        load_pipeline(tiny_graph, index=shared) as other,
    ):
        alone = plan_memory(one.graph, index=shared, machine=machine)
        both = plan_side_by_side({"one": one.graph, "other": other.graph}, index=shared, machine=machine)
    weights = [share for share in both.shares if "weights" in share.need.what]
    assert [share.with_ for share in weights] == ["", "one: model 'small'"]
    assert alone.total() < both.total() < 2 * alone.total() - weights[0].n_bytes
    assert [share.part for share in both.shares].count("program") == 1
    assert both.whose == "all graphs together"


def test_the_command_serves_several_graphs(index: Path, tmp_path: Path) -> None:
    for name, said in (("short", SHORT), ("long", LONG)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(graph(replies=[said])))
    options = [option for name in ("short", "long") for option in ("--graph", str(tmp_path / f"{name}.yaml"))]
    command = [sys.executable, "-m", "rag", "serve", *options, "--index", str(index), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        address = re.search(r"at (http://127\.0\.0\.1:\d+) \(Ctrl-C ends it\)", line)
        assert address, line
        with httpx2.Client(base_url=address[1], timeout=DEADLINE_S) as client:
            assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["short", "long"]
            reply = client.post("/v1/chat/completions", json=question(model="long"))
            assert reply.json()["choices"][0]["message"]["content"] == LONG
        running.send_signal(signal.SIGINT)
        assert running.wait(DEADLINE_S) == 0


def test_one_pipeline_goes_by_the_name_in_the_settings(pipelines: dict[str, Pipeline]) -> None:
    with TestClient(create_app(pipelines["short"], ServeSettings(model="docs"))) as asking:
        assert [model["id"] for model in asking.get("/v1/models").json()["data"]] == ["docs"]
        assert 'ragline_waiting{part="search"} 0.0' in asking.get("/metrics").text
