from __future__ import annotations

import pytest

from rag.core.errors import SpecError
from rag.graph.check import check
from rag.graph.load import load_spec
from rag.graph.rewire import with_patience
from rag.graph.spec import GraphSpec, Node
from rag.graph.writer import with_writer

QUOTED = {"use": "generate.cited", "in": "context", "with": {"llm": "own", "max_tokens": 20}}


def graph_of(model: dict[str, object], **inner: object) -> dict[str, object]:
    return {
        "version": 1,
        "models": {"own": model},
        "nodes": {
            "found": {"use": "retrieve.bm25", "in": "query", "k": 5},
            "context": {"use": "assemble.token_budget", "in": "found", "with": {"llm": "own", "max_tokens": 9}},
            "answer": QUOTED,
        },
        "output": "answer",
        **inner,
    }


def rewritten(graph: object, **writer: str) -> GraphSpec:
    return with_writer(load_spec(graph), **writer).graph  # type: ignore[arg-type]


def test_all_that_writes_gets_the_model() -> None:
    chat = rewritten("chat", model="some/model")
    users = {name: node.params["llm"] for name, node in chat.nodes.items() if "llm" in node.params}
    assert users == dict.fromkeys(["asked", "context", "counted", "answer"], "writer")
    assert chat.models["writer"].params == {"model": "some/model"}


def test_a_reranker_keeps_its_own_model() -> None:
    small = {"use": "llm.transformers", "with": {"model": "small/model"}}
    graph = graph_of({"use": "llm.transformers", "with": {"model": "old/model"}})
    graph["models"]["small"] = small  # type: ignore[index]
    ranked = {"use": "rerank.attention", "in": "found", "k": 5, "with": {"llm": "small", "depth": 10}}
    graph["nodes"]["ranked"] = ranked  # type: ignore[index]
    graph["nodes"]["context"]["in"] = "ranked"  # type: ignore[index]
    rewrote = rewritten(graph, model="some/model")
    assert rewrote.nodes["ranked"] == load_spec(graph).graph.nodes["ranked"]
    assert rewrote.models["small"].params == {"model": "small/model"}


def test_limits_of_the_own_model_go() -> None:
    chat = rewritten("chat", model="some/model")
    assert chat.nodes["context"].params == {"llm": "writer", "max_tokens": None}
    stays = {
        "llm": "writer",
        "move_markers": True,
        "copy_exactly": True,
        "right_kind": True,
        "both": True,
        "in_its_language": True,
    }
    assert chat.nodes["answer"].params == stays
    assert rewritten("ask", model="some/model").nodes["answer"].params == stays


def test_a_model_that_nothing_uses_any_more_is_left_out() -> None:
    assert list(rewritten("closed-book", model="some/model").models) == ["writer"]


def test_the_way_a_model_is_run_stays_but_not_what_is_true_of_the_old_one_alone() -> None:
    own = {
        "use": "llm.vllm_offline",
        "with": {"model": "old", "dtype": "bfloat16", "revision": "a", "max_model_len": 9},
    }
    writer = rewritten(graph_of(own), model="new").models["writer"]
    assert (writer.use, writer.params) == ("llm.vllm_offline", {"model": "new", "dtype": "bfloat16"})


def test_a_gguf_file_is_run_by_llama_cpp() -> None:
    writer = rewritten("ask", model="qwen2.5-coder-1.5b-instruct.gguf").models["writer"]
    assert (writer.use, writer.params) == ("llm.llama_cpp", {"model": "qwen2.5-coder-1.5b-instruct.gguf"})


def test_another_model_at_the_same_server() -> None:
    own = {"use": "llm.server", "with": {"url": "http://localhost:9/v1", "context_window": 9}}
    assert rewritten(graph_of(own), model="new").models["writer"].params == {
        "model": "new",
        "url": "http://localhost:9/v1",
    }


def test_an_address_makes_it_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    writer = rewritten("closed-book", url="https://api.openai.com/v1", model="m").models["writer"]
    assert (writer.use, writer.params) == ("llm.server", {"model": "m", "url": "https://api.openai.com/v1"})
    assert rewritten("closed-book", url="http://localhost:9/v1").models["writer"].params == {
        "url": "http://localhost:9/v1"
    }


def test_the_key_goes_only_where_the_operator_lets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ENGINE_KEY", "k")
    monkeypatch.setenv("RAGLINE_API_KEYS", "ENGINE_KEY=http://localhost:9")
    keys = {
        url: rewritten("closed-book", url=url).models["writer"].params.get("api_key_variable")
        for url in ("https://api.openai.com/v1", "http://localhost:9/v1", "http://localhost:8/v1", "http://[")
    }
    assert list(keys.values()) == ["OPENAI_API_KEY", "ENGINE_KEY", None, None]


def test_inner_graphs_write_with_it_too() -> None:
    inner = {"small": {"nodes": graph_of({})["nodes"], "output": "answer"}}
    graph = rewritten(graph_of({"use": "llm.scripted"}, graphs=inner), model="new")
    assert graph.graphs["small"].nodes["answer"].params["llm"] == "writer"
    assert list(graph.models) == ["writer"]


@pytest.mark.parametrize(("reads", "name"), [("writer", "writer2"), ("own", "writer")])
def test_a_name_is_taken_again_once_nothing_else_uses_it(reads: str, name: str) -> None:
    models = {"own": {"use": "llm.scripted"}, "writer": {"use": "llm.scripted"}}
    graph = graph_of({}) | {"models": models}
    graph["nodes"]["ranked"] = {"use": "rerank.listwise", "in": "found", "k": 5, "with": {"llm": reads}}  # type: ignore[index]
    rewrote = rewritten(graph, model="new")
    assert rewrote.nodes["answer"].params["llm"] == name
    assert rewrote.nodes["ranked"].params["llm"] == reads


def test_a_graph_in_which_nothing_writes_is_refused() -> None:
    with pytest.raises(SpecError, match="built-in graph bm25: no node of this graph asks a model to write"):
        with_writer(load_spec("bm25"), model="new")


def test_neither_model_nor_address_changes_nothing() -> None:
    spec = load_spec("ask")
    assert with_writer(spec) is spec


@pytest.mark.parametrize("name", ["ask", "chat", "closed-book"])
def test_what_comes_out_is_good(name: str) -> None:
    assert not check(with_writer(load_spec(name), model="smollm2-135m-instruct")).problems


def test_a_limit_that_wastes_the_window_is_noted() -> None:
    def notes(window: int, limit: int | None) -> list[str]:
        graph = graph_of({"use": "llm.scripted", "with": {"context_window": window}})
        graph["nodes"]["context"]["with"]["max_tokens"] = limit  # type: ignore[index]
        checked = check(load_spec(graph))
        assert not checked.problems
        return [note for note in checked.notes if "is little for the model" in note]

    assert notes(8192, 1200) == []
    assert notes(32768, None) == []
    [note] = notes(32768, 1200)
    assert note.startswith(
        "graph: node 'context': max_tokens 1,200 is little for the model of node 'answer', which has room"
    )


def test_patience_goes_to_nodes_that_can_be_bounded_and_leaves_a_calibrated_graph_as_it_is() -> None:
    graph = load_spec("ask").graph
    patient = with_patience(graph, 5.0)
    bounded = {name for name, node in patient.nodes.items() if node.params.get("patience") == 5.0}
    assert bounded == {name for name, node in graph.nodes.items() if node.use == "assemble.token_budget"} != set()
    assert with_patience(graph, None) == graph
    gate = Node.model_validate({"use": "assemble.gate", "in": "context", "with": {"calibration": "c.json"}})
    calibrated = graph.model_copy(update={"nodes": {**graph.nodes, "gate": gate}})
    assert with_patience(calibrated, 5.0) == calibrated
