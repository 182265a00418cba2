"""The model that an experiment asks: by its name, or by a graph that has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rag.errors import SpecError, did_you_mean
from rag.graphs import builtin_names, check, load_spec, model_identity, with_writer
from rag.protocols import LLM


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedLLM:
    """A model and what it is called. `identity`: JSON data that two models share only if they are the same."""

    name: str
    llm: LLM
    identity: Mapping[str, Any] = field(hash=False)


def named_llm(said: str | None, *, url: str | None = None) -> NamedLLM:
    """A model, made and not loaded. Its weights are looked for, and fetched if need be, to tell which they are.

    Args:
        said: a packaged name, folder, hub id or .gguf file, to be run in this process; with `url` the name at that
            server, or None for its only one. Or GRAPH#MODEL: a model as a built-in graph or graph file has it. #MODEL may
            be left out where the graph has one.
        url: where an OpenAI-compatible server's /v1 begins.
    Raises:
        SpecError: the graph is wrong, or has no such model, or several where none is named.
        MissingModel: the weights are not here and cannot be fetched.
    """
    graph, _, name = (said or "").partition("#")
    of_graph = graph in builtin_names() or graph.endswith((".yaml", ".yml"))
    if of_graph and url is not None:
        raise SpecError(f"the graph '{graph}' says where its models run; leave out --url, or name a model alone")
    if not said and url is None:
        raise SpecError("no model: name one, or a server that has one with --url")
    spec = load_spec(graph) if of_graph else with_writer(load_spec("closed-book"), model=said, url=url)
    checked = check(spec)
    if checked.problems:
        raise SpecError(*checked.problems)
    llms = {each: model for each, model in checked.models.items() if isinstance(model, LLM)}
    if not of_graph or (not name and len(llms) == 1):
        [name] = llms
    elif not llms:
        raise SpecError(f"the graph '{graph}' has no model that writes; name a graph that has one, or a model")
    elif not name:
        raise SpecError(f"the graph '{graph}' has several models: {', '.join(llms)}. Say which, as {graph}#{min(llms)}")
    elif name not in llms:
        raise SpecError(f"the graph '{graph}' has no model '{name}'. {did_you_mean(name, llms)}")
    facts = checked.facts[f"models.{name}"]
    signed = model_identity(llms[name])
    identity: dict[str, Any] = {"use": facts.use, "with": facts.parameters} if signed is None else {**signed}
    return NamedLLM(name=said or str(url), llm=llms[name], identity=identity)
