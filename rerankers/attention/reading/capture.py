"""Reads attention from a decoder of any family without touching it.

Transformers hands post-rotary queries, keys and values to a named attention function. Ours is registered here
and chosen only while a model is read. The documents go through the model once (`encode_prefix`), with fused
attention, and leave keys and values. Then all suffixes (the query, its nulls) go through in one batch
(`read_suffixes`): for these few positions the attention is computed in full, since their softmax rows are the
result. Both passes end at the deepest layer that is read, by an exception that never leaves this module; no
language model head runs.

Why the prefix is cached in plain layers, not in those that the model's configuration asks for: a sliding-window
layer keeps the end of the prefix alone and numbers its positions from there, so it could not be shared as it is.
With whole prefixes, the mask of each layer, sliding ones included, is the one that the model makes itself.

Why one batch of suffixes and not one pass each: prefix keys are read once for all of them, and it is exact, since
suffixes are padded on the right, where no real position sees them.

Imports torch and transformers; import this module at the first call, not at the top of a component.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from rag.core.errors import SpecError
from rerankers.attention.heads.layout import Plan
from rerankers.attention.reading import rows

ATTENTION = "ragline_rows"
_CHANGES_SOFTMAX = ("s_aux", "sinks", "position_bias")


class _Done(Exception):
    """Ends a forward pass early: the deepest layer that is needed has run."""


class Step(NamedTuple):
    """What a layer's attention is made of: query [s, h, t, d], key and value [s, g, t, d]. `cap`: of its logits."""

    layer: int
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scale: float
    cap: float | None

    @property
    def shared(self) -> int:
        """Query heads that share a key head."""
        return int(self.query.shape[1] // self.key.shape[1])


class Pass(Protocol):
    """What is done in the place of a layer's attention."""

    def attend(self, step: Step) -> Tensor | None:
        """[s, t, h, d], or None to end the forward pass here."""
        ...


_current: ContextVar[Pass] = ContextVar("ragline_attention_pass")


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The registered attention function. query [s, h, t, d], key and value [s, g, t, d] -> [s, t, h, d]."""
    for name in _CHANGES_SOFTMAX:
        if others.get(name) is not None:
            raise SpecError(
                f"this model adds '{name}' to its attention, so its attention cannot be read. Use another model."
            )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output = _current.get().attend(Step(module.layer_idx, query, key, value, attention_mask, scale, softcap))
    if output is None:
        raise _Done
    return output.contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, sdpa_mask)


@contextmanager
def attention_switched(decoder: Any, *, name: str = ATTENTION) -> Iterator[None]:
    """Within, `decoder` calls our attention function, by the `name` it is registered by. Afterwards the one it had."""
    configs = {id(m.config): m.config for m in decoder.modules() if hasattr(m, "config")}.values()
    before = [(config, config._attn_implementation) for config in configs]
    try:
        for config, _ in before:
            config._attn_implementation_internal = name
        yield
    finally:
        for config, its_own in before:
            config._attn_implementation_internal = its_own


class _PrefixPass:
    """Fused attention over the documents. Ends once the deepest layer's keys and values are in the cache."""

    def __init__(self, deepest: int) -> None:
        self._deepest = deepest

    def attend(self, step: Step) -> Tensor | None:
        if step.layer == self._deepest:
            return None
        return rows.attention(step.query, step.key, step.value, scale=step.scale, softcap=step.cap, mask=step.mask)


class Collector(Protocol):
    """Takes what a layer's heads attended to."""

    def add(self, layer: int, columns: Tensor) -> None:
        """columns: float32 [n_suffixes, n_heads, n_prefix], all heads of the layer."""
        ...


class _SuffixPass:
    """Attention of the suffixes over the cached prefix. Gives what planned layers' heads saw to `collector`."""

    def __init__(self, prefix: Cache, weights: Tensor, plan: Plan, collector: Collector) -> None:
        self._prefix, self._weights, self._plan, self._collector = prefix, weights, plan, collector

    def attend(self, step: Step) -> Tensor | None:
        cached: Any = self._prefix.layers[step.layer]
        last = step.layer == self._plan.deepest
        output, columns = rows.suffix_attention(
            step.query,
            step.key,
            step.value,
            prefix_key=cached.keys,
            prefix_value=cached.values,
            scale=step.scale,
            softcap=step.cap,
            mask=step.mask,
            weights=self._weights.to(step.query.device) if step.layer in self._plan.heads else None,
            need_output=not last,
        )
        if columns is not None:
            self._collector.add(step.layer, columns)
        return None if last else output


class _PrefixLayer(DynamicLayer):  # type: ignore[misc]
    """A cached prefix, shared by all suffixes of a batch: it is neither copied per suffix nor added to.

    `update` gives the suffixes' own states back; `_SuffixPass` finds the prefix itself.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.keys, self.values, self.is_initialized = layer.keys, layer.values, True
        self.dtype, self.device = layer.keys.dtype, layer.keys.device

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return key_states, value_states


class ColumnSum:
    """Adds up the chosen heads of all layers, in float32, and remembers where a number was not finite.

    `weights`: "layer-head" -> what its attention is multiplied by; 1 where it is not named.
    """

    def __init__(self, plan: Plan, *, weights: Mapping[str, float] = MappingProxyType({})) -> None:
        self._plan, self._weights = plan, weights
        self._scores: Tensor | None = None
        self._totals: list[tuple[int, Tensor]] = []

    def add(self, layer: int, columns: Tensor) -> None:
        heads = self._plan.heads[layer]
        if len(heads) < columns.shape[1]:
            columns = columns[:, list(heads)]
        if self._weights:
            of_each = [self._weights.get(f"{layer}-{head}", 1.0) for head in heads]
            columns = columns * columns.new_tensor(of_each)[:, None]
        layer_sum = columns.sum(1)
        self._scores = layer_sum if self._scores is None else self._scores + layer_sum.to(self._scores.device)
        self._totals.append((layer, columns.sum((0, 2))))

    def result(self) -> Reading:
        assert self._scores is not None  # a plan is never empty
        for layer, totals in self._totals:
            wrong = (~totals.isfinite()).nonzero()
            if len(wrong):
                return Reading(scores=self._scores.cpu(), broken=(layer, self._plan.heads[layer][int(wrong[0])]))
        return Reading(scores=self._scores.cpu())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """scores: float32 [n_suffixes, n_prefix], s(j|suffix). `broken`: first (layer, head) that is not finite."""

    scores: Tensor
    broken: tuple[int, int] | None = None


@torch.no_grad()
def encode_prefix(decoder: Any, ids: Sequence[int], *, plan: Plan) -> Cache:
    """Keys and values of `ids`, for layers up to the plan's deepest. Call it within `attention_switched`.

    Raises:
        SpecError: the model computes its attention itself, where it cannot be read.
    """
    cache = DynamicCache()
    row = torch.tensor([list(ids)], device=_device(decoder))
    _run(decoder, _PrefixPass(plan.deepest), input_ids=row, past_key_values=cache, use_cache=True)
    return cache


@torch.no_grad()
def read_suffixes(
    decoder: Any, prefix: Cache, suffixes: Sequence[Sequence[int]], *, plan: Plan, collector: Collector
) -> None:
    """Attention of every suffix to every prefix position, mean over the suffix's positions, layer by layer.

    All suffixes go through the model in one batch and do not see each other. Call it within
    `attention_switched`.
    """
    length = max(len(suffix) for suffix in suffixes)
    # Padded on the right: no real position sees padding, and padding has no weight.
    ids = [[*suffix, *([suffix[-1]] * (length - len(suffix)))] for suffix in suffixes]
    weights = torch.zeros(len(suffixes), length)
    for row, suffix in enumerate(suffixes):
        weights[row, : len(suffix)] = 1 / len(suffix)
    shared = Cache(layers=[_PrefixLayer(layer) for layer in prefix.layers])
    this_pass = _SuffixPass(prefix, weights, plan, collector)
    batch = torch.tensor(ids, device=_device(decoder))
    _run(decoder, this_pass, input_ids=batch, past_key_values=shared, use_cache=True)


@torch.no_grad()
def run_pass(decoder: Any, ids: Sequence[int], positions: Sequence[int], this_pass: Pass) -> None:
    """One row of tokens through the decoder, each at its position, without a cache or a mask of the decoder's own.

    `this_pass` decides which tokens see which. Call it within `attention_switched`.
    """
    device = _device(decoder)
    _run(
        decoder,
        this_pass,
        input_ids=torch.tensor([list(ids)], device=device),
        position_ids=torch.tensor([list(positions)], device=device),
        # Four dimensions say that a mask is ready as it is; it is never looked at.
        attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device),
        use_cache=False,
    )


def _run(decoder: Any, this_pass: Pass, **inputs: Any) -> None:
    token = _current.set(this_pass)
    try:
        decoder(**inputs)
    except _Done:
        return
    finally:
        _current.reset(token)
    raise SpecError(
        f"a {decoder.config.model_type} model computes its attention itself, so it cannot be read. "
        "Use a model whose attention goes through transformers' attention functions."
    )


def _device(decoder: Any) -> Any:
    return decoder.get_input_embeddings().weight.device
