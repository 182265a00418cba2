"""Which sampling parameters make sense: one check for every language model."""

from __future__ import annotations

from rag.types import SamplingParams


def require_valid(params: SamplingParams, *, by: str) -> None:
    """Raise ValueError, naming what is allowed, if a parameter makes no sense."""
    if params.max_tokens < 1:
        raise ValueError(f"{by}: max_tokens must be at least 1, got {params.max_tokens}")
    if not 0.0 <= params.temperature < float("inf"):
        raise ValueError(f"{by}: temperature must be 0 (greedy) or above, got {params.temperature}")
    if not 0.0 < params.top_p <= 1.0:
        raise ValueError(f"{by}: top_p must be above 0 and at most 1, got {params.top_p}")
    if params.logprobs < 0:
        raise ValueError(f"{by}: logprobs must be 0 or above, got {params.logprobs}")
    if "" in params.stop:
        raise ValueError(f"{by}: a stop string must not be empty")
