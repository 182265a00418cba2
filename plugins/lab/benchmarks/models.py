"""The model of a benchmark as the lab takes it."""

from __future__ import annotations

from benchmarks.graphs import llm
from rag.graphs import model_identity
from ragline_lab.llms import NamedLLM


def named(model: str, engine: str) -> NamedLLM:
    """A model in an engine, with what tells it from others."""
    made = llm(model, engine)
    return NamedLLM(name=model, llm=made, identity=model_identity(made) or {"model": model})
