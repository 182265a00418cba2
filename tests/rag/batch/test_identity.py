"""A run goes on only with the graph that began it: an edited prompt is another graph, wherever a part keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import prompts.template
from rag.batch.run import run_batch
from rag.core.errors import SpecError
from rag.pipeline import load_pipeline
from retrievers import RETRIEVERS
from tests.rag.graph.parts import FixedRetriever

WAYS: dict[str, dict[str, Any]] = {
    "listwise": {"use": "rerank.listwise"},
    "setwise": {"use": "rerank.setwise", "params": {"scoring": "generation"}},
    "pairwise": {"use": "rerank.pairwise", "params": {"scoring": "generation"}},
    "tournament": {"use": "rerank.tournament", "params": {"stages": [[4, 2]]}},
    "repeated": {"use": "rerank.self_consistency", "params": {"runs": 2}},
}
LIBRARY = {"repeated": "listwise"}


@pytest.fixture(autouse=True)
def _fixed() -> Iterator[None]:
    RETRIEVERS.add("test_fixed_of_runs", FixedRetriever)
    yield
    del RETRIEVERS._table["test_fixed_of_runs"]


def graph(way: str, prompt: Path) -> dict[str, Any]:
    params = dict(WAYS[way].get("params", {}))
    of = {"params": {"prompt": str(prompt)}} if way == "repeated" else {"prompt": str(prompt)}
    return {
        "version": 1,
        "models": {"small": {"use": "llm.scripted", "with": {"replies": ["[1] > [2] A"]}}},
        "nodes": {
            "found": {"use": "retrieve.test_fixed_of_runs", "k": 4},
            "ranked": {"use": WAYS[way]["use"], "in": "found", "k": 4, "with": {"llm": "small", **params, **of}},
            "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "small", "max_tokens": 60}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small"}},
        },
        "output": "answer",
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_run_does_not_go_on_with_an_edited_prompt_of_a_reranker(way: str, tmp_path: Path) -> None:
    prompt = tmp_path / "rank.yaml"
    words = (prompts.template.LIBRARY / f"rank_{LIBRARY.get(way, way)}.yaml").read_text(encoding="utf-8")
    prompt.write_text(words, encoding="utf-8")
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps({"id": str(i), "question": f"what {i}"}) + "\n" for i in range(4)))
    with load_pipeline(graph(way, prompt)) as pipeline:
        assert run_batch(questions, pipeline, out=tmp_path / "out", limit=2).n_answered == 2
    with load_pipeline(graph(way, prompt)) as pipeline:
        assert run_batch(questions, pipeline, out=tmp_path / "out", resume=True, limit=3).n_answered == 1
    prompt.write_text(words + "\n# another wording\n", encoding="utf-8")
    with load_pipeline(graph(way, prompt)) as pipeline, pytest.raises(SpecError, match="made with another graph"):
        run_batch(questions, pipeline, out=tmp_path / "out", resume=True)
