from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.cache_utils import DynamicLayer

from generators.llm.decoding import Batch
from generators.llm.growing import SPARE, GrowingLayer, growing
from generators.llm.turns import TurnLock
from tests.generators.llm.conftest import save_random_model

ROWS = [list(range(5, 25)), [9, 8, 7], list(range(40, 52))]


@pytest.fixture(scope="module", params=["llama", "mistral", "gemma2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    windows = {} if request.param == "llama" else {"sliding_window": 16}
    folder = save_random_model(tmp_path_factory.mktemp("growing"), request.param, **windows)
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return loaded.eval()


def told(model: Any, cache: Any, *, peeks: bool) -> list[torch.Tensor]:
    """All logits of a batch that is written, looked ahead of, written past its room and thinned out."""
    batch = Batch(model, ROWS, lock=TurnLock(), cache=cache)
    seen = [batch.logits]

    def feed(tokens: list[int]) -> None:
        batch.feed(tokens)
        seen.append(batch.logits)

    feed([1, 2, 3])
    if peeks:
        seen.append(batch.peek([4, 5, 6]))
        seen.append(batch.peek([7]))
    for token in range(SPARE + 3):
        feed([token, token + 1, token + 2])
    batch.keep([0, 2])
    for token in range(3):
        feed([token, token + 1])
    if peeks:
        seen.append(batch.peek([8, 9]))
    feed([1, 1])
    return seen


@pytest.mark.parametrize("croppable", [True, False])
def test_logits_are_the_same_to_the_bit(model: Any, croppable: bool) -> None:
    def cache() -> DynamicCache:
        return DynamicCache() if croppable else DynamicCache(config=model.config)

    for ours, theirs in zip(
        told(model, growing(cache()), peeks=croppable), told(model, cache(), peeks=croppable), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_tokens_are_written_into_the_room_there_is() -> None:
    kind: Any = growing(DynamicCache()).layer_class_to_replicate
    layer = kind()
    assert kind is GrowingLayer
    prompt, one = torch.ones(2, 3, 300, 4), torch.zeros(2, 3, 1, 4)
    layer.update(prompt, prompt)
    layer.update(one, one)
    place = layer.keys.data_ptr()
    for n in range(SPARE):
        layer.update(one + n, one - n)
    assert layer.keys.data_ptr() == place
    assert layer.keys.shape == layer.values.shape == (2, 3, 301 + SPARE, 4)
    layer.update(one, one)
    assert layer.keys.data_ptr() != place
    assert layer.keys[0, 0, :, 0].tolist() == [1.0] * 300 + [0.0, *range(SPARE), 0.0]
    assert layer.values[1, 2, :, 3].tolist() == [1.0] * 300 + [0.0, *range(0, -SPARE, -1), 0.0]


@pytest.mark.parametrize("tokens", [1, 7, 40, 2000])
def test_room_is_an_eighth_of_what_is_there_at_most(tokens: int) -> None:
    kind: Any = GrowingLayer
    layer = kind()
    layer.update(torch.ones(1, 1, tokens, 2), torch.ones(1, 1, tokens, 2))
    layer.update(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
    held = layer.keys.untyped_storage().nbytes() // (2 * 4)
    assert tokens + 1 <= held <= (tokens + 1) * 9 / 8
    assert held - tokens - 1 <= SPARE


def test_selected_rows_do_not_write_into_those_they_came_from() -> None:
    kind: Any = GrowingLayer
    layer = kind()
    both = torch.tensor([1.0, 2.0])[:, None, None, None].expand(2, 1, 4, 2)
    layer.update(both, both)
    layer.update(both[:, :, :1], both[:, :, :1])
    before = layer.keys
    layer.batch_select_indices(torch.tensor([0]))
    layer.update(torch.full((1, 1, 1, 2), 9.0), torch.full((1, 1, 1, 2), 9.0))
    assert layer.keys[0, 0, :, 0].tolist() == [1.0] * 5 + [9.0]
    assert before[:, 0, :, 0].tolist() == [[1.0] * 5, [2.0] * 5]


def test_layers_with_a_window_of_their_own_stay_as_they_are(model: Any) -> None:
    before = [type(layer) for layer in DynamicCache(config=model.config).layers]
    after = [type(layer) for layer in growing(DynamicCache(config=model.config)).layers]
    assert after == [GrowingLayer if kind is DynamicLayer else kind for kind in before]
