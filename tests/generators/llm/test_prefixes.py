from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache

from generators.llm.prefixes import BLOCK, PrefixStore, fill

LAYERS, HEADS, SIZE = 2, 1, 2
BLOCK_BYTES = 2 * LAYERS * HEADS * BLOCK * SIZE * 4


def states_of(ids: list[int]) -> Any:
    """Keys and values that tell a token and all before it, as a real cache's do."""
    sums = torch.tensor(ids, dtype=torch.float32).cumsum(0)
    layers = []
    for layer in range(LAYERS):
        keys = torch.stack([sums + layer, -sums], dim=-1)[None, None]
        layers.append(SimpleNamespace(keys=keys, values=keys * 2))
    return SimpleNamespace(layers=layers)


def put(store: PrefixStore, ids: list[int]) -> None:
    store.keep([ids], states_of(ids), torch.ones(1, len(ids), dtype=torch.long))


ROWS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=70), min_size=1, max_size=12)


@given(ROWS, st.integers(0, 9))
def test_what_is_found_is_what_was_kept_and_within_the_budget(rows: list[list[int]], budget: int) -> None:
    store = PrefixStore(budget * BLOCK_BYTES)
    for ids in rows:
        put(store, ids)
        assert store.n_bytes <= budget * BLOCK_BYTES
        assert store.depth(ids) == BLOCK * min(len(ids) // BLOCK, budget)  # the latest is always whole
    for ids in rows:
        blocks, states = store.find(ids), states_of(ids).layers
        assert len(blocks) * BLOCK == store.depth(ids) <= len(ids)
        for at, block in enumerate(blocks):
            span = slice(at * BLOCK, (at + 1) * BLOCK)
            expected = [part[0, :, span] for layer in states for part in (layer.keys, layer.values)]
            assert torch.equal(block, torch.stack(expected))


def test_common_beginnings_are_kept_once_and_go_last() -> None:
    store = PrefixStore(4 * BLOCK_BYTES)
    start = [1] * BLOCK
    for last in range(2, 9):
        put(store, start + [last] * BLOCK)
    assert store.n_bytes == 4 * BLOCK_BYTES
    assert [store.depth(start + [last] * BLOCK) // BLOCK for last in range(2, 9)] == [1, 1, 1, 1, 2, 2, 2]


def test_rows_of_one_batch_share_the_room_beginnings_first() -> None:
    store = PrefixStore(4 * BLOCK_BYTES)
    rows = [[row] * 3 * BLOCK for row in (1, 2)]
    layers = [
        SimpleNamespace(
            keys=torch.cat([states_of(ids).layers[at].keys for ids in rows]),
            values=torch.cat([states_of(ids).layers[at].values for ids in rows]),
        )
        for at in range(LAYERS)
    ]
    store.keep(rows, SimpleNamespace(layers=layers), torch.ones(2, 3 * BLOCK, dtype=torch.long))
    assert [store.depth(ids) // BLOCK for ids in rows] == [2, 2]


def test_padding_is_not_kept() -> None:
    ids = [3] * BLOCK
    padded = states_of([9] * 5 + ids)
    plain = states_of(ids)
    for layer, own in zip(padded.layers, plain.layers, strict=True):
        layer.keys[:, :, 5:], layer.values[:, :, 5:] = own.keys, own.values
    store = PrefixStore(4 * BLOCK_BYTES)
    store.keep([ids], padded, torch.tensor([[0] * 5 + [1] * BLOCK]))
    [block] = store.find(ids)
    assert torch.equal(block[0], plain.layers[0].keys[0])


@pytest.mark.parametrize("budget", [0, BLOCK_BYTES - 1])
def test_without_room_nothing_is_kept(budget: int) -> None:
    store = PrefixStore(budget)
    put(store, [1] * 40)
    assert store.find([1] * 40) == []


def test_layers_that_do_not_stack_are_left_alone() -> None:
    odd = states_of([1] * BLOCK)
    odd.layers[1].keys = odd.layers[1].keys.repeat(1, 2, 1, 1)
    store = PrefixStore(9 * BLOCK_BYTES)
    store.keep([[1] * BLOCK], odd, torch.ones(1, BLOCK, dtype=torch.long))
    assert store.depth([1] * BLOCK) == 0


def test_rows_are_aligned_at_their_ends() -> None:
    store = PrefixStore(9 * BLOCK_BYTES)
    put(store, [1] * 2 * BLOCK)
    put(store, [2] * BLOCK)
    cache: Any = DynamicCache()
    mask = fill(cache, [store.find([1] * 2 * BLOCK), [], store.find([2] * BLOCK)])
    assert mask.sum(dim=1).tolist() == [2 * BLOCK, 0, BLOCK]
    assert mask[2].tolist() == [0] * BLOCK + [1] * BLOCK
    assert torch.equal(cache.layers[1].keys[2, :, BLOCK:], states_of([2] * BLOCK).layers[1].keys[0])
    assert torch.equal(cache.layers[0].values[0], states_of([1] * 2 * BLOCK).layers[0].values[0])
    assert fill(DynamicCache(), [[], []]).shape == (2, 0)


def test_threads_find_whole_and_true_blocks() -> None:
    store = PrefixStore(5 * BLOCK_BYTES)

    def work(seed: int) -> bool:
        for step in range(40):
            ids = [1] * BLOCK + [(seed * step) % 7] * BLOCK
            put(store, ids)
            expected = states_of(ids).layers[1].keys[0]
            for at, block in enumerate(store.find(ids)):
                if not torch.equal(block[2], expected[:, at * BLOCK : (at + 1) * BLOCK]):
                    return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    assert store.n_bytes <= 5 * BLOCK_BYTES
