from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.integrations import sdpa_attention

from generators.llm.decoding import pad_left
from generators.llm.loading import share_keys
from generators.llm.transformers import TransformersLLM
from rag.core.types import SamplingParams
from tests.generators.llm.conftest import save_random_model
from tests.generators.llm.serving import asked

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 16},
    "qwen3": {},
    "gemma2": {"sliding_window": 16},
    "gpt_neox": {},  # every head has keys and values of its own
}
ROWS = [list(range(5, 45)), [9, 8, 7], list(range(40, 60))]


def logits(model: Any) -> list[torch.Tensor]:
    """Of a padded batch, and of two tokens more in each row."""
    ids, mask = pad_left(ROWS)
    cache = DynamicCache(config=model.config)
    more = torch.cat([mask, mask.new_ones(len(ROWS), 2)], dim=1)
    with torch.inference_mode():
        first = model(ids, attention_mask=mask, past_key_values=cache, use_cache=True).logits
        return [first, model(ids[:, :2], attention_mask=more, past_key_values=cache, use_cache=True).logits]


def load(folder: Path, attention: str = "sdpa") -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_same_to_the_bit(family: str, tmp_path: Path) -> None:
    folder = save_random_model(tmp_path, family, **FAMILIES[family])
    plain, grouped = load(folder), load(folder)
    share_keys(grouped)
    assert grouped.config._attn_implementation == "ragline_grouped"
    _, mask = pad_left(ROWS)
    for ours, theirs in zip(logits(grouped), logits(plain), strict=True):
        at = mask[:, -ours.shape[1] :].bool() if ours.shape[1] > 2 else ...
        assert torch.equal(ours[at], theirs[at])


def test_no_keys_are_copied_for_a_batch_with_padding(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copied(*_: Any) -> None:
        raise AssertionError("keys and values were repeated for every head")

    monkeypatch.setattr(sdpa_attention, "repeat_kv", copied)
    llm = TransformersLLM(model=str(tiny_folder), device="cpu", dtype="float32")
    llm.complete([asked("Which city?"), asked("the capital of France is")], SamplingParams(max_tokens=3))
    with pytest.raises(AssertionError, match="were repeated"):
        logits(load(tiny_folder))


def test_other_ways_of_attending_are_left_alone(tiny_folder: Path) -> None:
    model = load(tiny_folder, "eager")
    share_keys(model)
    assert model.config._attn_implementation == "eager"
