"""Blocks against one eager forward pass with explicit masks and positions, on random models of many families."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from rerankers.attention.heads.identity import key_heads
from rerankers.attention.heads.layout import Plan, make_plan
from rerankers.attention.reading import blocks, rows
from rerankers.attention.reading.blocks import encode_before, encode_documents, encode_queries
from rerankers.attention.reading.capture import Step, attention_switched
from rerankers.attention.reading.match import matches
from tests.rerankers.tiny_models import tiny_model

OPENING = [5, 6, 7, 8]
DOCUMENTS = [[20, 21, 22, 23, 24], [30] * 12, [40, 41], [50, 51, 52, 53, 54, 55, 56]]
LEAD = [9, 10]
QUERIES = [[60, 61, 62], [70]]
LEAD_AT = 30
FAMILIES = [
    "llama",
    "qwen2",
    "qwen3",
    "mistral",
    "ministral",
    "gemma2",
    "gemma3",
    "phi",
    "phi3",
    "granite",
    "olmo2",
    "smollm3",
]


def sharpened(family: str) -> Any:
    """A model whose attention is far from flat: only then do errors in it show."""
    model = tiny_model(family)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if any(part in name for part in ("q_proj", "k_proj", "qkv_proj", "q_norm", "k_norm")) and weight.dim() > 1:
                weight.mul_(12)
    return model


def plan_of(model: Any) -> Plan:
    return make_plan(model.get_decoder().config, context=64)


def ours(model: Any, *, order: Sequence[int] = range(len(DOCUMENTS))) -> Tensor:
    """float32 [n_queries, n_heads, n_documents], documents in `DOCUMENTS`' order whatever order they are read in."""
    decoder, plan = model.get_decoder(), plan_of(model)
    with attention_switched(decoder):
        opening = encode_before(decoder, OPENING, plan=plan)
        before = encode_before(decoder, LEAD, plan=plan, after=opening, position=LEAD_AT)
        keys = dict(encode_documents(decoder, opening, [DOCUMENTS[i] for i in order], plan=plan))
        asked = encode_queries(decoder, before, QUERIES, plan=plan)
    shared = decoder.config.num_attention_heads // key_heads(decoder.config)
    pairs = plan.pairs(shared)
    pair_of = [pairs.index((layer, head // shared)) for layer, head in plan.names]
    by_document = [keys[list(order).index(i)] for i in range(len(DOCUMENTS))]
    cap = getattr(decoder.config, "attn_logit_softcapping", None)
    return torch.stack([matches(each, by_document, pair_of=pair_of, softcap=cap) for each in asked])


def reference(model: Any) -> Tensor:
    """The same by eager attention: for every planned layer and every document, one forward pass over everything, in
    which a query's rows see the document in that layer alone.
    """
    plan, config = plan_of(model), model.get_decoder().config
    texts = [OPENING, *DOCUMENTS, LEAD, *QUERIES]
    first_document = len(OPENING)
    starts = [0, *([first_document] * len(DOCUMENTS)), LEAD_AT, *([LEAD_AT + len(LEAD)] * len(QUERIES))]
    owner = torch.tensor([i for i, text in enumerate(texts) for _ in text])
    at = torch.tensor([start + i for text, start in zip(texts, starts, strict=True) for i in range(len(text))])
    lead = 1 + len(DOCUMENTS)
    back = at[:, None] - at
    own = (owner[:, None] == owner) & (back >= 0)
    sees_opening = (owner == 0)[None].expand_as(own) & (back >= 0)
    sees_lead = (owner[:, None] > lead) & (owner == lead)[None]
    alone = own | sees_opening | sees_lead
    ids = torch.tensor([[id_ for text in texts for id_ in text]])
    found = torch.zeros(len(QUERIES), len(plan.names), len(DOCUMENTS))
    model.set_attn_implementation("eager")
    for layer in sorted(plan.heads):
        for document in range(len(DOCUMENTS)):
            theirs = (owner[:, None] > lead) & (owner == 1 + document)[None]
            masks = {
                n: (alone | theirs if n == layer else alone) & (back < (plan.window(n) or 10**6))
                for n in range(config.num_hidden_layers)
            }
            with explicit_masks(model, masks), torch.no_grad():
                attention = model(ids, position_ids=at[None], output_attentions=True).attentions[layer][0]
            for query in range(len(QUERIES)):
                paid = attention[:, owner == lead + 1 + query][:, :, owner == 1 + document].double().sum(-1)
                heads = [i for i, (n, _) in enumerate(plan.names) if n == layer]
                mean = -torch.log1p(-paid).mean(-1)
                found[query, heads, document] = mean[[plan.names[i][1] for i in heads]].float()
    model.set_attn_implementation("sdpa")
    return found


@contextmanager
def explicit_masks(model: Any, masks: dict[int, Tensor]) -> Iterator[None]:
    """Within, every layer's attention gets its mask from `masks`, whatever the model made."""

    def given(module: Any, args: Any, kwargs: Any) -> Any:
        hidden = torch.zeros(masks[module.layer_idx].shape).masked_fill(~masks[module.layer_idx], -1e30)
        return args, {**kwargs, "attention_mask": hidden[None, None]}

    hooks = [
        module.register_forward_pre_hook(given, with_kwargs=True)
        for module in model.modules()
        if hasattr(module, "layer_idx") and type(module).__name__.endswith("Attention")
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_equal_one_eager_pass_with_explicit_masks(family: str) -> None:
    model = sharpened(family)
    expected = reference(model)
    assert (1 - torch.exp(-expected)).max() > 0.5  # some token pays more than half of what it has to a document
    torch.testing.assert_close(ours(model), expected, rtol=1e-5, atol=1e-6)


def test_a_doubled_scale_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    look = blocks._QueriesPass._look

    def doubled(self: Any, step: Step) -> None:
        look(self, step._replace(scale=2 * step.scale))

    monkeypatch.setattr(blocks._QueriesPass, "_look", doubled)
    assert_wrong("llama")


def test_swapped_key_heads_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    look = blocks._KeysPass._look

    def swapped(self: Any, step: Step) -> None:
        look(self, step._replace(key=step.key.flip(1)))

    monkeypatch.setattr(blocks._KeysPass, "_look", swapped)
    assert_wrong("llama")


def test_a_missing_soft_cap_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "capped", lambda logits, softcap: logits)
    assert_wrong("gemma2")


def test_a_window_that_does_not_slide_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plan, "window", lambda self, layer: None)
    model = sharpened("gemma3")
    found = ours(model)
    monkeypatch.undo()
    assert not torch.allclose(found, reference(model), rtol=1e-3, atol=1e-4)


def test_a_position_off_by_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = blocks._Row.positions
    model = sharpened("llama")
    # All positions moved together change nothing, so only those of documents are moved.
    monkeypatch.setattr(
        blocks._Row,
        "positions",
        property(lambda self: [p + (self.first == len(OPENING)) for p in right.fget(self)]),  # type: ignore[attr-defined]
    )
    found = ours(model)
    assert not torch.allclose(found, reference(model), rtol=1e-3, atol=1e-4)


def assert_wrong(family: str) -> None:
    model = sharpened(family)
    assert not torch.allclose(ours(model), reference(model), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.parametrize("pack", [1, 8, 1000])
def test_order_and_company_of_the_documents_do_not_matter(
    family: str, pack: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sharpened(family)
    expected = ours(model)
    monkeypatch.setattr(blocks, "_PACK", pack)
    torch.testing.assert_close(ours(model, order=[3, 1, 0, 2]), expected, rtol=1e-5, atol=1e-6)


def test_no_layer_after_the_deepest_is_run() -> None:
    model = tiny_model("llama")
    decoder, ran = model.get_decoder(), list[int]()
    for number, layer in enumerate(decoder.layers):
        layer.self_attn.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
    plan = make_plan(decoder.config, context=64, heads={1: (0,)})
    with attention_switched(decoder):
        opening = encode_before(decoder, OPENING, plan=plan)
        list(encode_documents(decoder, opening, DOCUMENTS, plan=plan))
    assert ran == [0, 1, 0, 1]
