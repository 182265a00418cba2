from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rag.core.errors import SpecError
from rerankers.attention.heads.layout import Plan, make_plan
from rerankers.attention.reading.capture import (
    ATTENTION,
    ColumnSum,
    Reading,
    attention_switched,
    encode_prefix,
    read_suffixes,
)
from tests.rerankers.tiny_models import tiny_model

PREFIX = list(range(40, 90))
SUFFIXES = [[7, 8, 9, 10, 11], [7, 8, 9]]


def read(model: Any, suffixes: Sequence[Sequence[int]] = SUFFIXES, *, plan: Plan | None = None) -> Reading:
    decoder = model.get_decoder()
    plan = plan or make_plan(decoder.config, context=1000)
    sums = ColumnSum(plan)
    with attention_switched(decoder):
        prefix = encode_prefix(decoder, PREFIX, plan=plan)
        read_suffixes(decoder, prefix, suffixes, plan=plan, collector=sums)
    return sums.result()


def eager(model: Any, suffix: Sequence[int]) -> torch.Tensor:
    """Sum over layers and heads of the mean attention of the suffix's positions to the prefix."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        layers = model(torch.tensor([[*PREFIX, *suffix]]), output_attentions=True).attentions
    model.set_attn_implementation("sdpa")
    n = len(PREFIX)
    return torch.stack([layer[0, :, n:, :n].mean(1).sum(0) for layer in layers]).sum(0)


@pytest.mark.parametrize("family", ["gpt2", "opt"])
def test_models_without_rotary_embeddings_are_read(family: str) -> None:
    model = tiny_model(family)
    found = read(model).scores
    for row, suffix in zip(found, SUFFIXES, strict=True):
        torch.testing.assert_close(row, eager(model, suffix), rtol=1e-4, atol=1e-6)


def test_a_suffix_scores_the_same_alone_and_in_any_company() -> None:
    model = tiny_model("llama")
    both, swapped = read(model).scores, read(model, SUFFIXES[::-1]).scores
    alone = read(model, SUFFIXES[1:]).scores
    torch.testing.assert_close(both, swapped.flip(0), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(both[1:], alone, rtol=1e-5, atol=1e-7)


def test_the_prefix_serves_again_and_again() -> None:
    decoder = tiny_model("llama").get_decoder()
    plan = make_plan(decoder.config, context=1000)
    results = []
    with attention_switched(decoder):
        prefix = encode_prefix(decoder, PREFIX, plan=plan)
        for _ in range(2):
            sums = ColumnSum(plan)
            read_suffixes(decoder, prefix, SUFFIXES, plan=plan, collector=sums)
            results.append(sums.result().scores)
    assert torch.equal(*results)
    assert prefix.get_seq_length() == len(PREFIX)


def test_no_layer_after_the_deepest_is_run() -> None:
    model = tiny_model("llama")
    ran = []
    for number, layer in enumerate(model.model.layers):
        layer.self_attn.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
    model.lm_head.register_forward_pre_hook(lambda *_: ran.append(99))
    read(model, plan=make_plan(model.config, context=1000, layers=(0, 1)))
    assert ran == [0, 1, 0, 1]


def test_chosen_heads_add_up_to_all_of_them() -> None:
    model = tiny_model("llama")
    parts = [{0: (0, 3), 2: (1,)}, {0: (1, 2), 1: (0, 1, 2, 3), 2: (0, 2, 3), 3: (0, 1, 2, 3)}]
    halves = [read(model, plan=Plan(heads=part)).scores for part in parts]
    torch.testing.assert_close(halves[0] + halves[1], read(model).scores, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loaded", ["eager", "sdpa"])
def test_the_model_comes_back_as_it_was(loaded: str) -> None:
    model = tiny_model("llama", attention=loaded)
    before = model(torch.tensor([PREFIX])).logits
    with attention_switched(model.get_decoder()):
        assert model.config._attn_implementation == ATTENTION
    read(model)
    assert model.config._attn_implementation == loaded
    assert torch.equal(model(torch.tensor([PREFIX])).logits, before)


def test_the_model_comes_back_as_it_was_after_an_error() -> None:
    model = tiny_model("llama")
    with pytest.raises(IndexError):
        read(model, [[10**6]])
    assert model.config._attn_implementation == "sdpa"
    assert read(model).scores.isfinite().all()


def test_how_it_was_loaded_makes_no_difference() -> None:
    scores = [read(tiny_model("gemma2", attention=loaded)).scores for loaded in ("eager", "sdpa")]
    assert torch.equal(*scores)


def test_a_number_that_is_not_finite_is_found_with_layer_and_head() -> None:
    model = tiny_model("llama")
    head = model.model.layers[2].self_attn.q_proj.weight
    head.data[3 * 8] = torch.nan  # first row of head 3's query projection
    assert read(model).broken == (2, 3)
    assert read(tiny_model("llama")).broken is None


def test_a_model_that_computes_attention_itself_is_refused() -> None:
    model = tiny_model("bloom", n_head=4, n_layer=4)
    with pytest.raises(SpecError, match="a bloom model computes its attention itself"):
        read(model)


def test_attention_with_extra_terms_is_refused() -> None:
    from rerankers.attention.reading.capture import _attention

    module = SimpleNamespace(layer_idx=0)
    with pytest.raises(SpecError, match="adds 's_aux' to its attention"):
        _attention(module, torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), None, s_aux=1)
