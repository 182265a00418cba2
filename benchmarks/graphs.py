"""What graphs of several benchmarks have in common: a writer in vLLM, hybrid search."""

from __future__ import annotations

from typing import Any

from generators.llm import LLMS
from generators.llm.vllm_offline import VLLMOfflineLLM
from rag.lab.llms import NamedLLM
from rag.models.identity import model_identity

ENGINES = ("vllm_offline", "transformers", "llama_cpp")
VLLM: dict[str, Any] = {"max_model_len": 4096, "kv_cache_gib": 2}


def vllm(model: str) -> VLLMOfflineLLM:
    """A model in vLLM; the engine starts at the first request."""
    return VLLMOfflineLLM(model=model, **VLLM)


def vllm_part(model: str) -> dict[str, Any]:
    """The same as a part of a graph."""
    return {"use": "llm.vllm_offline", "with": {"model": model, **VLLM}}


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


def named(model: str, engine: str) -> NamedLLM:
    """A model in one of `llm`'s engines, with what tells it from others."""
    llm = LLMS.get(engine)(model=model, **(VLLM if engine == "vllm_offline" else {}))
    return NamedLLM(name=model, llm=llm, identity=model_identity(llm) or {"model": model})
