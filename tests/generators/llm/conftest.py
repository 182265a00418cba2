from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generators.llm.transformers import TransformersLLM
from tests.rag.tiny_tokenizers import tiny_tokenizer
from tests.threads import one_thread

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
}


def save_random_model(folder: Path, family: str = "llama", **changes: Any) -> Path:
    """A decoder of two layers with random weights and the ChatML tokenizer, saved like a real one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_tokenizer("chatml")
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": None, "pad_token_id": None}
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **(SIZES | ends | changes))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for parameter in model.parameters():  # far from uniform, so that an order of tokens means something
            if parameter.dim() > 1:
                parameter.data.mul_(6.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are slower on two threads than on one, and much slower when the machine is busy."""
    with one_thread():
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("tiny-llama"), max_position_embeddings=256)


@pytest.fixture(scope="session")
def tiny_llm(tiny_folder: Path) -> TransformersLLM:
    return TransformersLLM(model=str(tiny_folder), device="cpu", dtype="float32")
