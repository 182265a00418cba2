"""Key/value caches with room to grow, so that one token more does not copy all that are there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

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
