"""A graph with another model that writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Any, get_args

from generators.llm.server_keys import variable_for
from rag.core.errors import SpecError
from rag.graph.kinds import STAGES
from rag.graph.names import new_name
from rag.graph.signature import Param, signature
from rag.graph.spec import Node, Part, Spec
from rag.models import GGUF

WRITES = ("reformulate", "assemble", "generate", "check")
"""Stages whose model can be any: it writes, or counts what another node of it will read. Rerankers read inside theirs."""

_OF_ONE_MODEL = ("model", "revision", "tokenizer", "context_window", "max_model_len")
"""Parameters of a model's part that say which model it is, and so are not another's."""
_LIMITS = {
    "assemble": ("max_tokens", "max_passages"),
    "generate": ("max_tokens", "prompt", "enough", "least", "relief"),
}
"""Parameters that were chosen for the graph's own model."""


def with_writer(spec: Spec, *, model: str | None = None, url: str | None = None) -> Spec:
    """The graph with another model in all nodes that reformulate, assemble and generate, and with limits that follow it.

    The limits in the graph were made for its own model. Passages get half of the new one's window, however many they are,
    and answers what their generator writes by default. Rerankers keep their model. How the graph runs its model (in this
    process, vLLM, a server) stays too, unless a `url` or a GGUF file is given: that is run by llama.cpp. A graph that is
    told its model has no other to be taken instead.

    Args:
        model: a packaged name, folder, hub id or .gguf file; of a server, the model's name there.
        url: where an OpenAI-compatible server's /v1 begins; without `model`, its only one.
    Raises:
        SpecError: no node of the graph writes.
    """
    if model is None and url is None:
        return spec
    graph = spec.graph
    nodes_of = [graph.nodes, *(body.nodes for body in graph.graphs.values())]
    uses = [graph.models[name] for nodes in nodes_of for name in _models_named(nodes) if name in graph.models]
    if not uses:
        raise SpecError(f"{spec.source.name}: no node of this graph asks a model to write, so no other one can")
    others = {*_texts([node.params for nodes in nodes_of for node in _rewritten(nodes, "").values()])}
    models = {each: part for each, part in graph.models.items() if each in others}
    name = new_name("writer", models)
    models[name] = _part(uses[-1], model, url)
    nodes = _rewritten(graph.nodes, name)
    inner = {
        each: body.model_copy(update={"nodes": _rewritten(body.nodes, name)}) for each, body in graph.graphs.items()
    }
    return spec.model_copy(
        update={
            "graph": graph.model_copy(update={"nodes": nodes, "graphs": inner, "models": models, "otherwise": None})
        }
    )


def _part(own: Part, model: str | None, url: str | None) -> Part:
    """The new model, run as the graph runs its own one."""
    if url is not None:
        params = {"model": model, "url": url, "api_key_variable": variable_for(url)}
        return Part(use="llm.server", params={key: value for key, value in params.items() if value is not None})
    if model is not None and model.endswith(GGUF):
        return Part(use="llm.llama_cpp", params={"model": model})
    if own.use == "llm.llama_cpp" or ("model" not in own.params and own.use != "llm.server"):
        return Part(use="llm.transformers", params={"model": model})
    kept = {key: value for key, value in own.params.items() if key not in _OF_ONE_MODEL}
    return own.model_copy(update={"params": {"model": model, **kept}})


def _models_named(nodes: Mapping[str, Node]) -> Iterator[str]:
    """The models of the nodes that write."""
    for node in nodes.values():
        yield from (str(node.params[param.name]) for param in _params(node) if _names_a_model(param, node))


def _rewritten(nodes: Mapping[str, Node], writer: str) -> dict[str, Node]:
    return {name: _with_model(node, writer) for name, node in nodes.items()}


def _with_model(node: Node, writer: str) -> Node:
    stage, params = node.stage, _params(node)
    models = {param.name: writer for param in params if _names_a_model(param, node)}
    if not models:
        return node
    kept = {key: value for key, value in node.params.items() if key not in _LIMITS.get(stage, ())}
    follows = any(param.name == "max_tokens" and NoneType in get_args(param.annotation) for param in params)
    limits = {"max_tokens": None} if stage == "assemble" and follows else {}
    return node.model_copy(update={"params": {**kept, **limits, **models}})


def _params(node: Node) -> tuple[Param, ...]:
    stage, _, name = node.use.partition(".")
    if stage not in WRITES or name not in STAGES[stage].registry:
        return ()
    return signature(STAGES[stage].registry.get(name), STAGES[stage].method).params


def _names_a_model(param: Param, node: Node) -> bool:
    return param.resource == "llm" and isinstance(node.params.get(param.name), str)


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """All texts in plain data, at any depth."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _texts(value.values())
        elif isinstance(value, list | tuple):
            yield from _texts(value)
