"""The stages of a graph: which table their components are in and which method does the work."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from generators import GENERATORS
from generators.llm import LLMS
from rag.core.registry import Registry
from rag.graph.signature import parameters_model
from rag.stages import ASSEMBLERS, CHECKERS, FUSERS, REFORMULATORS, TRANSFORMS
from rerankers import RERANKERS
from retrievers import RETRIEVERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A stage. One that `gathers` takes any number of inputs into its one port."""

    registry: Registry
    method: str
    gathers: bool = False


STAGES = {
    "reformulate": Kind(registry=REFORMULATORS, method="reformulate"),
    "retrieve": Kind(registry=RETRIEVERS, method="retrieve"),
    "fuse": Kind(registry=FUSERS, method="fuse", gathers=True),
    "rerank": Kind(registry=RERANKERS, method="rerank"),
    "assemble": Kind(registry=ASSEMBLERS, method="assemble"),
    "generate": Kind(registry=GENERATORS, method="generate"),
    "check": Kind(registry=CHECKERS, method="check"),
}

MODELS = {"llm": LLMS}
"""Kinds of models that a graph's `models:` section may hold."""

TABLES: dict[str, tuple[Registry, str | None]] = {
    **{stage: (kind.registry, kind.method) for stage, kind in STAGES.items()},
    "transform": (TRANSFORMS, None),
    **{stage: (registry, None) for stage, registry in MODELS.items()},
}
"""All tables of components, for listings, the JSON Schema and the contract tests."""


def parameters_of(use: str) -> type[BaseModel]:
    """The parameters of a component, such as `fuse.weighted`, as a model with a field for each."""
    stage, _, component = use.partition(".")
    registry, method = TABLES[stage]
    return parameters_model(registry.get(component), method)
