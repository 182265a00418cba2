"""A graph, or the one that it names for machines that are too small for it."""

from __future__ import annotations

from dataclasses import dataclass

from rag.core.errors import MissingDependency, SpecError
from rag.core.memory import Machine
from rag.graph.build import Graph, build
from rag.graph.load import load_spec
from rag.graph.spec import Spec
from rag.pipeline.memory_plan import plan_turns, require_room
from retrievers.index.protocol import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """A graph whose parts fit the machine. `instead`: why it is not the one that was asked for; empty if it is."""

    graph: Graph
    instead: str = ""


def fitting(spec: Spec, *, index: Index | None, machine: Machine, by_stage: bool = False) -> Fitting:
    """Build a graph, or what it names with `otherwise` if a package is missing or the memory does not suffice.

    The index is held against the graph that is taken. Loads no weights.

    Raises:
        SpecError: the graph is wrong; or it does not fit, and names no other.
        MissingDependency: a package is missing, and it names no other.
    """
    seen: list[str] = []
    reasons: list[str] = []
    while True:
        problem: SpecError | MissingDependency | None
        try:
            built = build(spec, index=index)
            problem = _too_large(built, index=index, machine=machine, by_stage=by_stage)
        except MissingDependency as cause:
            problem = cause
        if problem is None:
            return Fitting(graph=built, instead=" ".join(reasons))
        other = spec.graph.otherwise
        if other is None or other in seen:
            raise problem
        seen.append(other)
        reasons.append(f"Graph '{other}' answers, for {spec.source.name} does not fit here: {problem}")
        spec = load_spec(other)


def _too_large(graph: Graph, *, index: Index | None, machine: Machine, by_stage: bool) -> SpecError | None:
    try:
        require_room(plan_turns(graph, by_stage=by_stage, index=index, machine=machine))
    except SpecError as problem:
        return problem
    return None
