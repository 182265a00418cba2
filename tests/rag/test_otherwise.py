"""A graph that is too large for the machine is answered by the one that it names for that."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from generators.llm import LLMS
from generators.llm.scripted import ScriptedLLM
from rag.cli import main
from rag.core.errors import MissingDependency, SpecError
from rag.core.memory import GIB, Need
from rag.core.optional import need
from rag.pipeline import load_pipeline
from rag.pipeline.memory_plan import plan_memory


class Hungry(ScriptedLLM):
    """Says that it takes 7 GiB.

    Args:
        replies: what it says.
    """

    def __init__(self, *, replies: tuple[str, ...] = ("",)) -> None:
        super().__init__(replies=replies)

    def memory(self) -> list[Need]:
        return [Need(what="weights", n_bytes=7 * GIB)]


class Missing(ScriptedLLM):
    """Needs a package that is nowhere.

    Args:
        replies: what it says.
    """

    def __init__(self, *, replies: tuple[str, ...] = ("",)) -> None:
        need("no_such_package", by="llm.test_missing")
        super().__init__(replies=replies)


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of these tests alone: gone with each of them."""
    monkeypatch.setattr(LLMS, "_table", {**LLMS._table, "test_hungry": Hungry, "test_missing": Missing})


def graph(use: str, says: str, otherwise: str | None = None) -> dict[str, Any]:
    return {
        "version": 1,
        **({"otherwise": otherwise} if otherwise else {}),
        "models": {"writer": {"use": use, "with": {"replies": [says]}}},
        "nodes": {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "writer"}}},
        "output": "answer",
    }


@pytest.fixture
def small(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(graph("llm.scripted", "small")), encoding="utf-8")
    return str(file)


class TestOtherwise:
    def test_a_graph_that_fits_answers_itself(self, small: str) -> None:
        with load_pipeline(graph("llm.test_hungry", "large", small), memory_gib=99) as pipeline:
            assert (pipeline.ask("Who?").text, pipeline.instead) == ("large", "")

    def test_one_that_does_not_fit_says_so_with_numbers(self, small: str, caplog: pytest.LogCaptureFixture) -> None:
        with (
            caplog.at_level(logging.WARNING),
            load_pipeline(graph("llm.test_hungry", "large", small), memory_gib=2) as pipeline,
        ):
            assert pipeline.ask("Who?").text == "small"
        assert "small.yaml' answers" in pipeline.instead
        assert "memory_gib allows 2.00 GiB" in pipeline.instead
        assert "writer' weights 7.00 GiB" in pipeline.instead
        assert pipeline.instead in caplog.text

    def test_a_note_of_the_graph_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        noted = graph("llm.scripted", "small") | {"note": "plain search finds more"}
        with caplog.at_level(logging.WARNING), load_pipeline(noted):
            assert [record.message for record in caplog.records] == ["plain search finds more"]

    def test_checking_it_says_what_would_be_loaded(
        self, small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "large.yaml"
        file.write_text(yaml.safe_dump(graph("llm.test_hungry", "large", small)), encoding="utf-8")
        monkeypatch.setenv("RAGLINE_MEMORY_GIB", "2")
        assert main(["check", str(file), "--memory"]) == 0
        assert "small.yaml' is loaded in its place" in capsys.readouterr().err

    def test_a_package_that_is_not_installed(self, small: str) -> None:
        with load_pipeline(graph("llm.test_missing", "large", small)) as pipeline:
            assert pipeline.ask("Who?").text == "small"
            assert "no_such_package" in pipeline.instead

    def test_without_another_graph_it_is_an_error(self) -> None:
        with pytest.raises(SpecError, match=r"memory_gib allows 2\.00 GiB"):
            load_pipeline(graph("llm.test_hungry", "large"), memory_gib=2)
        with pytest.raises(MissingDependency):
            load_pipeline(graph("llm.test_missing", "large"))

    def test_graphs_that_name_each_other_end(self, tmp_path: Path) -> None:
        one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
        one.write_text(yaml.safe_dump(graph("llm.test_hungry", "x", str(other))), encoding="utf-8")
        other.write_text(yaml.safe_dump(graph("llm.test_hungry", "x", str(one))), encoding="utf-8")
        with pytest.raises(SpecError, match="memory_gib allows"):
            load_pipeline(one, memory_gib=2)

    def test_a_model_of_ones_own_is_never_exchanged(self, small: str) -> None:
        asked = graph("llm.test_hungry", "large", small)
        with pytest.raises(SpecError, match="memory_gib allows"):
            load_pipeline(asked, model="tests/no/such.gguf", memory_gib=0.001)


def test_packaged_files_are_counted_before_they_are_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))
    nodes = {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "writer"}}}
    models = {"writer": {"use": "llm.llama_cpp", "with": {"model": "qwen2.5-coder-1.5b-instruct"}}}
    spec: dict[str, Any] = {"version": 1, "models": models, "nodes": nodes, "output": "answer"}
    pytest.importorskip("xllamacpp")
    with load_pipeline(spec, memory_gib=8) as pipeline:
        shares = {share.need.what: share.n_bytes for share in plan_memory(pipeline.graph).shares}
    assert shares["weights of qwen2.5-coder-1.5b-instruct.gguf"] == 1_117_320_768
    assert shares["4 slots of 8,192 tokens"] == 4 * 8192 * 28 * 2 * 2 * 128 * 2
    with pytest.raises(SpecError, match=r"memory_gib allows 1\.50 GiB"):
        load_pipeline(spec, memory_gib=1.5)


def test_a_server_says_that_another_graph_answers_and_not_how_much_memory_there_is(small: str) -> None:
    pytest.importorskip("ragline_serve", reason="the plug-in ragline-serve is not installed")
    from plugins.serve.tests.asking import until
    from plugins.serve.tests.served import served
    from ragline_serve import create_app
    from ragline_serve.service.settings import ServeSettings

    with (
        load_pipeline(graph("llm.test_hungry", "large", small), memory_gib=2) as pipeline,
        served(create_app(pipeline, ServeSettings())) as running,
    ):
        until(lambda: httpx2.get(f"{running.url}/ready").json()["status"] != "loading")
        ready = httpx2.get(f"{running.url}/ready").json()
    assert ready["status"] == "degraded"
    [part] = ready["degraded"]
    assert part["part"].endswith("graph")
    assert "small.yaml answers, for the machine is too small" in part["means"]
    assert "GiB" not in part["means"]
