"""Ways to answer, as graphs: an undefended writer, defences against documents that mislead, and graphs of the user.

Every way searches as its graph says, and a filter lets it see the documents of its question alone. So a graph that reranks
or leaves out documents is tried with what it would do itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.errors import SpecError, did_you_mean
from rag.files import Source
from rag.graphs import GraphSpec, Node, Part, Spec, check, new_name

UNDEFENDED = "cited"
"""The built-in way that the others are held against."""
CLOSED_BOOK = "closed-book"
"""The way of every model that reads no documents."""

WAYS: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    UNDEFENDED: ("generate.cited", {}, "reads all documents at once"),
    "enough": (
        "generate.cited",
        {"enough": "answer_enough", "least": 1.0},
        "the same, asked first whether the documents answer the question",
    ),
    "vote": ("generate.vote", {"max_passages": 32}, "reads each document alone, and counts votes"),
    "vote-relevance": (
        "generate.vote",
        {"max_passages": 32, "weigh": "relevance"},
        "the same, votes weighed by the score of the search",
    ),
    "vote-agreement": (
        "generate.vote",
        {"max_passages": 32, "agreement": 0.5},
        "the same, refused where fewer than half of the votes agree",
    ),
}
"""Name -> component, its parameters, and what it does, in words."""

_WRITES_WITH = "llm"
"""The parameter by which a writer is given its model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A graph that answers. `model`: what its writer is called; `part`: what it is, None where the graph does not say."""

    name: str
    model: str
    spec: Spec
    part: Part | None

    @property
    def reads(self) -> bool:
        return self.name != CLOSED_BOOK


def ways_of(
    models: Mapping[str, Part],
    graphs: Mapping[str, Spec],
    *,
    search: Spec,
    names: Sequence[str] | None = None,
    baseline: str = UNDEFENDED,
) -> list[Way]:
    """All ways: of every model its closed book, the built-in ways, and the graphs that write with it, in this order.

    A model that only a graph names gets its closed book too, and the undefended way, if that is a built-in one.

    Args:
        models: name -> part of a graph. `graphs`: name -> graph that answers.
        search: orders the documents for built-in ways; it ends in rankings.
        names: of the built-in ways; None: all of them.
        baseline: the undefended way.
    Raises:
        SpecError: a way is unknown, has the name of another, or does not answer; or there is none.
    """
    wanted = list(WAYS) if names is None else list(names)
    if unknown := [name for name in wanted if name not in WAYS]:
        raise SpecError(f"no built-in way '{unknown[0]}'. {did_you_mean(unknown[0], WAYS)}")
    if taken := [name for name in graphs if name in WAYS or name == CLOSED_BOOK]:
        raise SpecError(f"'{taken[0]}' is the name of a built-in way; call the graph otherwise")
    if baseline not in WAYS and baseline not in graphs:
        raise SpecError(f"no way '{baseline}' to compare with. {did_you_mean(baseline, [*WAYS, *graphs])}")
    if baseline in WAYS and baseline not in wanted:
        wanted.insert(0, baseline)
    parts, own = dict(models), dict[str, list[Way]]()
    for name, spec in graphs.items():
        part = _writer(name, spec)
        label = _label(part, spec, parts)
        if part is not None:
            parts[label] = part
        own.setdefault(label, []).append(Way(name=name, model=label, spec=spec, part=part))
    ways: list[Way] = []
    for label in dict.fromkeys([*models, *own]):
        if (part := parts.get(label)) is not None:
            built_in = wanted if label in models else [baseline] if baseline in WAYS else []
            ways.append(_way(CLOSED_BOOK, label, part, _closed_book(part)))
            ways += [_way(name, label, part, _reading(name, part, search)) for name in built_in]
        ways += own.get(label, [])
    if not any(way.reads for way in ways):
        raise SpecError("no way to answer is named: give --model NAME, or --graph NAME=FILE")
    return ways


def _way(name: str, label: str, part: Part, graph: GraphSpec) -> Way:
    spec = Spec(graph=graph, source=Source(name=f"way '{name}' of {label}", data=None, lines={}))
    if problems := check(spec).problems:
        raise SpecError(*problems)
    return Way(name=name, model=label, spec=spec, part=part)


def _closed_book(part: Part) -> GraphSpec:
    answer = Node(use="generate.closed_book", params={_WRITES_WITH: "writer"})
    return GraphSpec(version=1, models={"writer": part}, nodes={"answer": answer}, output="answer")


def _reading(name: str, part: Part, search: Spec) -> GraphSpec:
    """A built-in way: the search, the passages that fit, and the component that answers."""
    use, params, _ = WAYS[name]
    graph = search.graph
    if not graph.nodes[graph.output].ranks:
        raise SpecError(f"{search.source.name} does not end in rankings, so it cannot order documents (--search)")
    writer, context, answer = (
        new_name(wanted, {*graph.models, *graph.nodes}) for wanted in ("writer", "context", "answer")
    )
    read = {_WRITES_WITH: writer, "max_tokens": None}
    return graph.model_copy(
        update={
            "recipe": None,
            "otherwise": None,
            "models": {**graph.models, writer: part},
            "nodes": {
                **graph.nodes,
                context: Node(use="assemble.token_budget", inputs=(graph.output,), params=read),
                answer: Node(use=use, inputs=(context,), params={_WRITES_WITH: writer, **params}),
            },
            "output": answer,
        }
    )


def _writer(name: str, spec: Spec) -> Part | None:
    """The model that writes the answers of a graph; None where its writer names none."""
    graph = spec.graph
    if problems := check(spec).problems:
        raise SpecError(*problems)
    node = graph.nodes[graph.output]
    if not node.answers:
        raise SpecError(f"{spec.source.name} ends in rankings; the way '{name}' has to end in answers (generate.*)")
    while node.stage == "check":
        node = graph.nodes[node.inputs[0]]
    return graph.models.get(str(node.params.get(_WRITES_WITH)))


def _label(part: Part | None, spec: Spec, known: Mapping[str, Part]) -> str:
    """What the writer of a graph is called: as a model that is the same, else by its model, under a name of its own."""
    if part is None:
        return new_name(spec.source.name, known)
    same = next((label for label, other in known.items() if other == part), None)
    return same or new_name(str(part.params.get("model") or part.use), known)


def model_part(name: str, engine: str | None = None) -> Part:
    """A model by name, as a part of a graph.

    Args:
        engine: a component of the stage `llm`; None: llama_cpp for a .gguf file, else transformers.
    """
    use = engine or ("llama_cpp" if name.endswith(".gguf") else "transformers")
    return Part(use=f"llm.{use}", params={"model": name, **ENGINES.get(use, {})})


ENGINES: Mapping[str, Mapping[str, Any]] = {
    "vllm_offline": {"max_model_len": 4096, "kv_cache_gib": 2},
    "llama_cpp": {"context_window": 4096},
}
"""Engine -> room for a question with its documents: what machines without a GPU have."""
