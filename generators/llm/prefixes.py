"""Keys and values of what prompts begin with, kept between calls so that it is read once.

Prompts are cut into blocks of a few tokens. A block is found by its own tokens and all before it, as in vLLM's prefix
caching (Kwon et al., SOSP 2023, arXiv 2309.06180): what several prompts begin with is kept once, and the ends that
nobody asks for again are the first to go. Knows no model; what is kept is only good for the weights that made it.
"""

from __future__ import annotations

import array
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 16
"""Tokens. Fewer would find more and cost more looking up."""


class PrefixStore:
    """Blocks of keys and values, [2 * n_layers, n_key_heads, BLOCK, head_size] each. Safe to share between threads.

    Args:
        budget: bytes kept at most; those used longest ago go first. 0 keeps nothing.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._blocks: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = threading.Lock()
        self.n_bytes = 0

    def depth(self, ids: Sequence[int]) -> int:
        """How many of the first tokens are kept."""
        with self._lock:
            return BLOCK * sum(1 for _ in self._known(ids))

    def find(self, ids: Sequence[int]) -> list[Tensor]:
        """The blocks of the first tokens, as many as are kept."""
        with self._lock:
            marks = list(self._known(ids))
            for mark in reversed(marks):  # a beginning is used last, so that it never goes before what follows it
                self._blocks.move_to_end(mark)
            return [self._blocks[mark] for mark in marks]

    def keep(self, rows: Sequence[Sequence[int]], cache: Any, mask: Tensor) -> None:
        """Keep what `cache` holds of the first tokens of each row; each row's beginning first, if not all has room.

        Args:
            rows: ids whose keys and values are in the cache, from its first token on.
            mask: 1 where the cache has a token, [rows, cached].
        """
        import torch

        states = [part for layer in cache.layers for part in (layer.keys, layer.values)]
        if len({part.shape for part in states}) != 1:  # layers of different sizes do not stack
            return
        _, heads, _, size = states[0].shape
        block_bytes = len(states) * heads * BLOCK * size * states[0].element_size()
        most = self._budget // block_bytes // len(rows)
        with torch.inference_mode():
            for row, ids in enumerate(rows):
                first, end = self.depth(ids) // BLOCK, min(len(ids) // BLOCK, most)
                if first >= end:
                    continue
                places = mask[row].nonzero()[first * BLOCK : end * BLOCK, 0].to(states[0].device)
                whole = torch.stack([part[row].index_select(1, places) for part in states])
                # A view would keep the whole row alive.
                blocks = [block.clone() for block in torch.split(whole, BLOCK, dim=2)]
                marks = list(_marks(ids))
                self._add(marks[:first], dict(zip(marks[first:end], blocks, strict=True)))

    def _known(self, ids: Sequence[int]) -> Iterator[bytes]:
        return takewhile(self._blocks.__contains__, _marks(ids))

    def _add(self, before: Sequence[bytes], blocks: Mapping[bytes, Tensor]) -> None:
        """Keep blocks that follow on those found at `before`."""
        with self._lock:
            for mark, block in reversed(list(blocks.items())):
                older = self._blocks.pop(mark, None)
                self.n_bytes += _size(block) - (0 if older is None else _size(older))
                self._blocks[mark] = block
            for mark in reversed(before):
                if mark in self._blocks:  # another thread may have put something in its place
                    self._blocks.move_to_end(mark)
            while self.n_bytes > self._budget:
                _, oldest = self._blocks.popitem(last=False)
                self.n_bytes -= _size(oldest)


def fill(cache: Any, begun: Sequence[Sequence[Tensor]]) -> Tensor:
    """Put the blocks of each row into an empty cache, aligned at their ends. Returns the mask, int64 [rows, longest]."""
    import torch

    mask = torch.zeros(len(begun), BLOCK * max(map(len, begun)), dtype=torch.long)
    if not mask.shape[1]:
        return mask
    block = next(blocks[0] for blocks in begun if blocks)
    n_states, heads, _, size = block.shape
    with torch.inference_mode():
        states = block.new_zeros(n_states, len(begun), heads, mask.shape[1], size)
        for row, blocks in enumerate(begun):
            if blocks:
                states[:, row, :, -BLOCK * len(blocks) :] = torch.cat(list(blocks), dim=2)
                mask[row, -BLOCK * len(blocks) :] = 1
        for layer in range(n_states // 2):
            cache.update(states[2 * layer], states[2 * layer + 1], layer)
    return mask


def _marks(ids: Sequence[int]) -> Iterator[bytes]:
    """For each whole block of ids, what finds it: a digest of it and all before it."""
    digest = b""
    for start in range(0, len(ids) - BLOCK + 1, BLOCK):
        data = array.array("q", ids[start : start + BLOCK]).tobytes()
        digest = hashlib.blake2b(digest + data, digest_size=16).digest()
        yield digest


def _size(block: Tensor) -> int:
    return block.numel() * block.element_size()
