"""The tools go on to an index that was built again, as `rag mcp` does."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.serve.tests.asking import until
from plugins.serve.tests.mcp.calling import called
from plugins.serve.tests.mcp.conftest import graph
from plugins.serve.tests.test_generations import build
from rag.pipeline import load_pipeline
from ragline_serve.commands import mcp as command
from ragline_serve.mcp.server import create_server


def test_tools_search_a_newer_generation_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "FOLLOW_S", 0.02)
    index = build(tmp_path, "bicycle")
    with load_pipeline(graph(), index=index) as pipeline, command.following(pipeline) as current:
        server = create_server(current)
        hit = called(server, "search", query="wheels")["hits"][0]
        assert "bicycle" in hit["text"]
        build(tmp_path, "tricycle", n=2)
        until(lambda: current.now is not pipeline)
        texts = [hit["text"] for hit in called(server, "search", query="wheels")["hits"]]
        assert len(texts) == 2
        assert all("tricycle" in text for text in texts)
        assert "tricycle" in called(server, "get_document", doc_id=hit["doc_id"])["text"]
