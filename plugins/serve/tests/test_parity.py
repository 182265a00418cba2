"""One question through every door gives one ranking and one answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from plugins.serve.tests.asking import asked, openai_client
from plugins.serve.tests.mcp.calling import called_in_turn
from plugins.serve.tests.test_chat import extension
from rag.batch.run import run_batch
from rag.pipeline import Pipeline, load_pipeline
from ragline_serve.mcp.server import create_server

QUESTION = "How many days of paid leave are there a year?"


@pytest.fixture(scope="module")
def pipeline(index: Path, tiny_graph: dict[str, Any]) -> Iterator[Pipeline]:
    with load_pipeline(tiny_graph, index=index) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def client(pipeline: Pipeline) -> Iterator[OpenAI]:
    with openai_client(pipeline) as official:
        yield official


@pytest.fixture(scope="module")
def here(pipeline: Pipeline) -> dict[str, Any]:
    """From Python: the ranking as pairs of doc_id and score, the passages, the answer and its citations."""
    answer, ranking = pipeline.ask(QUESTION), pipeline.search(QUESTION)
    return {
        "ranking": [(hit.doc_id, hit.score) for hit in ranking.hits],
        "passages": [hit.doc_id for hit in answer.context.passages],
        "answer": answer.text,
        "citations": [(citation.marker, citation.start, citation.end) for citation in answer.citations],
    }


def test_it_is_a_real_answer_from_a_real_ranking(here: dict[str, Any]) -> None:
    assert here["ranking"][0][0] == "texts/d02.md#1"
    assert here["answer"]


def test_a_file_of_questions(pipeline: Pipeline, here: dict[str, Any], tmp_path: Path) -> None:
    others = [f"What of {word}?" for word in ("laptops", "bicycles", "trains")]
    lines = [{"id": str(at), "question": text} for at, text in enumerate([*others, QUESTION])]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run_batch(tmp_path / "questions.jsonl", pipeline, out=tmp_path / "out")
    answers = map(json.loads, (tmp_path / "out" / "answers.jsonl").read_text().splitlines())
    [last] = [answer for answer in answers if answer["id"] == str(len(others))]  # they stand as they came
    assert _as_here(last, last["stages"]["ranked"], last["passages"], last["answer"]) == here


def test_a_search_over_http(client: OpenAI, here: dict[str, Any]) -> None:
    found = client.post("/search", body={"query": QUESTION}, cast_to=dict[str, Any])
    assert [(hit["doc_id"], hit["score"]) for hit in found["hits"]] == here["ranking"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat(client: OpenAI, here: dict[str, Any], stream: bool) -> None:
    made = client.chat.completions.create(**asked(QUESTION), stream=stream)
    if stream:
        chunks = list(made)
        text, said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks), extension(chunks[-1])
    else:
        text, said = made.choices[0].message.content, extension(made)
    [ranked] = [stage for stage in said["stages"] if stage["name"] == "ranked"]
    passages = [source["doc_id"] for source in said["sources"]]
    assert _as_here(said, ranked["hits"], passages, text) == here


def test_tools(pipeline: Pipeline, here: dict[str, Any]) -> None:
    found, said = called_in_turn(
        create_server(pipeline), ("search", {"query": QUESTION}), ("answer", {"question": QUESTION})
    )
    passages = [passage["doc_id"] for passage in said["passages"]]
    assert _as_here(said, found["hits"], passages, said["answer"]) == here


def _as_here(said: dict[str, Any], hits: list[dict[str, Any]], passages: list[str], text: str) -> dict[str, Any]:
    return {
        "ranking": [(hit["doc_id"], hit["score"]) for hit in hits],
        "passages": passages,
        "answer": text,
        "citations": [(one["marker"], one["start"], one["end"]) for one in said["citations"]],
    }
