"""What graphs of several benchmarks have in common: a writer, hybrid search, a plain answer."""

from __future__ import annotations

from typing import Any

from generators.llm import LLMS
from generators.llm.scripted import ScriptedLLM
from generators.llm.vllm_offline import VLLMOfflineLLM
from rag.core.protocols import LLM

ENGINES = ("vllm_offline", "transformers", "llama_cpp")
VLLM: dict[str, Any] = {"max_model_len": 4096, "kv_cache_gib": 2}
SCRIPTED = "scripted"
"""`--model scripted`: none. The figures mean nothing."""
SCRIPT: dict[str, Any] = {"replies": ("It is as passage [1] says.",), "context_window": 8192}


class Scripted(ScriptedLLM):
    """No model, to see whether a benchmark runs: it says the same to all, and what it finds likely is chance."""

    def close(self) -> None:
        """As an engine in vLLM, which holds memory."""


def writer(model: str) -> VLLMOfflineLLM | Scripted:
    """A model in vLLM; the engine starts at the first request. `scripted` is none."""
    return Scripted(**SCRIPT) if model == SCRIPTED else VLLMOfflineLLM(model=model, **VLLM)


def writer_part(model: str) -> dict[str, Any]:
    """The same as a part of a graph."""
    return llm_part(model, "vllm_offline")


def llm(model: str, engine: str) -> LLM:
    """A model in one of `llm`'s engines."""
    if model == SCRIPTED:
        return Scripted(**SCRIPT)
    made: LLM = LLMS.get(engine)(model=model, **_settings(engine))
    return made


def llm_part(model: str, engine: str) -> dict[str, Any]:
    """A model in an engine, as a part of a graph."""
    if model == SCRIPTED:
        return {"use": f"llm.{SCRIPTED}", "with": SCRIPT}
    return {"use": f"llm.{engine}", "with": {"model": model, **_settings(engine)}}


def _settings(engine: str) -> dict[str, Any]:
    return VLLM if engine == "vllm_offline" else {}


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
