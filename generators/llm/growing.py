"""Key/value caches with room to grow, so that one token more does not copy all that are there; and two of them made one.

Rows end at the same position, and what is missing at their beginning is padding that the mask hides, as in `decoding`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

SPARE = 32
"""Most positions of room that a layer makes when it has none: as many tokens are written between two copies. It is never
more than an eighth of what is there, which is what a memory plan counts."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [rows, groups, tokens, width] as views of tensors with more tokens' room.

    Whoever crops a layer leaves its view at the same place, and what comes next is written over what was cropped off;
    whoever selects rows gives it tensors of their own, and room is made anew.
    """

    keys: Tensor
    values: Tensor
    _rooms: tuple[Tensor | None, Tensor | None] = (None, None)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, keys_room = _appended(self.keys, key_states, self._rooms[0])
        values, values_room = _appended(self.values, value_states, self._rooms[1])
        self.keys, self.values, self._rooms = keys, values, (keys_room, values_room)
        return keys, values


def growing(cache: DynamicCache) -> DynamicCache:
    """The same empty cache, its plain layers with room; layers with a window of their own stay as they are."""
    for layer in cache.layers:
        if type(layer) is DynamicLayer:
            layer.__class__ = GrowingLayer
    if cache.layer_class_to_replicate is DynamicLayer:
        cache.layer_class_to_replicate = GrowingLayer
    return cache


def _appended(old: Tensor, new: Tensor, room: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Old and new tokens as one tensor, and the room that it is a view of."""
    if not old.numel():
        return torch.cat([old, new], dim=-2), None  # a prompt alone, which may never grow
    n_old = old.shape[-2]
    end = n_old + new.shape[-2]
    if room is None or old.data_ptr() != room.data_ptr() or len(old) != len(room) or end > room.shape[-2]:
        room = old.new_empty(*old.shape[:2], end + min(SPARE, end // 8), old.shape[3])
        room[:, :, :n_old] = old
    room[:, :, n_old:end] = new
    return room[:, :, :end], room


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
