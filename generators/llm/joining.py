"""Key/value caches of two batches made one, and padding taken off again.

Rows end at the same position, and what is missing at their beginning is padding that the mask hides, as in `decoding`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from generators.llm.growing import GrowingLayer

_KINDS = (DynamicLayer, GrowingLayer, DynamicSlidingWindowLayer)


def can_join(cache: Any) -> bool:
    """Whether every layer is keys and values in the order of the tokens; a recurrent state, say, is not."""
    return all(type(layer) in _KINDS for layer in cache.layers)


def join(cache: Any, other: Any) -> None:
    """Put the rows of another cache behind those of this one; the other is used up."""
    for mine, theirs in zip(cache.layers, other.layers, strict=True):
        mine.keys, mine.values = _stacked(mine.keys, theirs.keys), _stacked(mine.values, theirs.values)
        if mine.is_sliding:
            mine.cumulative_length = max(mine.cumulative_length, theirs.cumulative_length)


def trim(cache: Any, n: int) -> None:
    """Drop the first `n` positions, which are padding in all rows."""
    for layer in cache.layers:
        drop = n
        if layer.is_sliding:  # what is behind its window is dropped already
            layer.cumulative_length -= n
            drop = max(0, layer.keys.shape[-2] - layer.cumulative_length)
        layer.keys, layer.values = layer.keys[:, :, drop:], layer.values[:, :, drop:]


def pad_to(rows: Tensor, n: int, *, dim: int = -1) -> Tensor:
    """Zeros in front along `dim`, until there are `n` positions."""
    behind = (0, 0) * (-1 - dim)
    return pad(rows, (*behind, n - rows.shape[dim], 0))


def _stacked(upper: Tensor, lower: Tensor) -> Tensor:
    """Tensors [rows, groups, tokens, width] as one, the shorter one padded in front."""
    n = max(upper.shape[-2], lower.shape[-2])
    return torch.cat([pad_to(part, n, dim=-2) for part in (upper, lower)])
