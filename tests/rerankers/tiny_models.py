"""Random decoders of a few kilobytes, lent as a real in-process model would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from rag.core.types import Completion, Prompt, SamplingParams
from rag.models.chat import encode_prompt
from tests.rag.tiny_tokenizers import tiny_tokenizer

SIZES = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
MIXED = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]


def tiny_model(family: str, *, seed: int = 0, attention: str = "sdpa", **changes: Any) -> Any:
    """A random float32 model for causal language modelling."""
    import torch
    import transformers

    names = {
        "llama": "Llama",
        "qwen2": "Qwen2",
        "qwen3": "Qwen3",
        "mistral": "Mistral",
        "ministral": "Ministral",
        "gemma2": "Gemma2",
        "gemma3": "Gemma3Text",
        "phi": "Phi",
        "phi3": "Phi3",
        "granite": "Granite",
        "olmo2": "Olmo2",
        "smollm3": "SmolLM3",
        "gpt2": "GPT2",
        "opt": "OPT",
        "bloom": "Bloom",
    }
    name = names[family]
    settings: dict[str, Any] = {**SIZES, **_special(family), **changes}
    config = getattr(transformers, f"{name}Config")(**settings)
    config._attn_implementation = "eager" if family == "bloom" else attention
    torch.manual_seed(seed)
    name = "Gemma3" if name == "Gemma3Text" else "GPT2LMHead" if name == "GPT2" else name
    kind = f"{name}Model" if name.endswith("LMHead") else f"{name}ForCausalLM"
    model = getattr(transformers, kind)(config)
    return model.eval()


def _special(family: str) -> dict[str, Any]:
    if family in ("qwen3", "ministral", "gemma2", "gemma3"):
        special: dict[str, Any] = {"head_dim": 8}
    elif family == "mistral":
        special = {"sliding_window": None}
    else:
        special = {}
    if family in ("ministral", "gemma2", "gemma3"):
        special |= {"sliding_window": 24, "layer_types": MIXED}
    if family == "gemma2":
        special |= {"attn_logit_softcapping": 10.0, "query_pre_attn_scalar": 8}
    if family == "gemma3":
        special |= {"query_pre_attn_scalar": 8}
    if family == "qwen2":
        special |= {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 2}
    if family == "granite":
        special |= {"attention_multiplier": 8**-0.5}  # its default of 1 saturates a model this small
    if family == "opt":
        special |= {"ffn_dim": 48, "word_embed_proj_dim": 32}
    return special


@dataclass(frozen=True, slots=True)
class TinyWeights:
    model: Any
    tokenizer: Any


@dataclass
class TinyLLM:
    """A `LocalLLM` around a model that is already there. Counts how often it was lent."""

    model: Any
    tokenizer: Any = field(default_factory=lambda: tiny_tokenizer("chatml"))
    context_window: int = 4096
    lent: int = 0
    _lock: Lock = field(default_factory=Lock)

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [len(encode_prompt(self.tokenizer, prompt)) for prompt in prompts]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        raise AssertionError("an attention reranker generates nothing")

    @contextmanager
    def weights(self) -> Iterator[TinyWeights]:
        with self._lock:
            self.lent += 1
            yield TinyWeights(self.model, self.tokenizer)
