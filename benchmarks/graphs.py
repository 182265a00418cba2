"""What graphs of several benchmarks have in common: a writer, hybrid search, a plain answer."""

from __future__ import annotations

from typing import Any

from benchmarks.model_server import served_at, served_part
from generators.llm import LLMS
from generators.llm.scripted import ScriptedLLM
from rag.models import GGUF

ENGINES = ("vllm_offline", "transformers", "llama_cpp")
VLLM: dict[str, Any] = {"max_model_len": 4096, "kv_cache_gib": 2}
LLAMA_CPP: dict[str, Any] = {"context_window": 4096}
SCRIPTED = "scripted"
"""`--model scripted`: none. The figures mean nothing."""
SCRIPT: dict[str, Any] = {"replies": ("It is as passage [1] says.",), "context_window": 8192}


class Scripted(ScriptedLLM):
    """No model, to see whether a benchmark runs: it says the same to all, and what it finds likely is chance."""

    def release(self) -> None:
        """As an engine, which holds memory."""


def writer(model: str) -> Any:
    """A model in vLLM; the engine starts at the first request. `scripted` is none."""
    return llm(model, "vllm_offline")


def writer_part(model: str) -> dict[str, Any]:
    """The same as a part of a graph."""
    return llm_part(model, "vllm_offline")


def llm(model: str, engine: str) -> Any:
    """The model of `llm_part`. What it can do beside `complete` depends on the engine."""
    if model == SCRIPTED:
        return Scripted(**SCRIPT)
    part = llm_part(model, engine)
    return LLMS.get(part["use"].removeprefix("llm."))(**part["with"])


def llm_part(model: str, engine: str) -> dict[str, Any]:
    """A model in an engine, as a part of a graph: where `--url` says that it is, a .gguf file in llama.cpp, others in `engine`."""
    if model == SCRIPTED:
        return {"use": f"llm.{SCRIPTED}", "with": SCRIPT}
    if served_at():
        return served_part(model)
    if model.endswith(GGUF):
        return {"use": "llm.llama_cpp", "with": {"model": model, **LLAMA_CPP}}
    return {"use": f"llm.{engine}", "with": {"model": model, **(VLLM if engine == "vllm_offline" else {})}}


def hybrid_nodes(k: int) -> dict[str, Any]:
    """The search of the built-in `hybrid`, as nodes of a graph that ends in `fused` with k hits."""
    return {
        "bm25": {"use": "retrieve.bm25", "k": 100},
        "dense": {"use": "retrieve.dense", "k": 100},
        "fused": {
            "use": "fuse.weighted",
            "in": ["bm25", "dense"],
            "k": k,
            "with": {"norm": "z_score", "weights": {"bm25": 0.3, "dense": 0.7}},
        },
    }


def plain_nodes() -> dict[str, Any]:
    """That search and an answer from its first three passages by `writer`, as nodes that end in `answer`."""
    return {
        **hybrid_nodes(10),
        "context": {
            "use": "assemble.token_budget",
            "in": "fused",
            "with": {"llm": "writer", "max_tokens": 1200, "max_passages": 3},
        },
        "answer": {
            "use": "generate.cited",
            "in": "context",
            "with": {"llm": "writer", "prompt": "answer_sentences", "max_tokens": 96},
        },
    }
