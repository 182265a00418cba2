from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from generators.llm.decoding import Batch
from generators.llm.growing import growing
from generators.llm.turns import TurnLock
from tests.generators.llm.conftest import save_random_model

LONG, SHORT, MIDDLE = list(range(5, 30)), [9, 8, 7], list(range(40, 52))


@pytest.fixture(scope="module", params=["llama", "mistral", "gemma2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    windows = {} if request.param == "llama" else {"sliding_window": 16}
    folder = save_random_model(tmp_path_factory.mktemp("joining"), request.param, **windows)
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return loaded.eval()


def read(model: Any, *rows: list[int]) -> Batch:
    return Batch(model, rows, lock=TurnLock(), cache=growing(DynamicCache(config=model.config)))


def assert_like_alone(model: Any, batch: Batch, *rows: list[int]) -> None:
    """The batch goes on as each of its rows, read anew, does; also past the window of a layer that has one."""
    for token in range(1, 21):
        batch.feed([token] * len(rows))
    for row, logits in zip(rows, batch.logits, strict=True):
        torch.testing.assert_close(logits, read(model, [*row, *range(1, 21)]).logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("first", "second"), [(LONG, SHORT), (SHORT, LONG), (MIDDLE, SHORT)])
def test_joined_rows_go_on_as_they_do_alone(model: Any, first: list[int], second: list[int]) -> None:
    batch = read(model, first)
    batch.feed([3])
    batch.join(read(model, second, MIDDLE))
    assert batch.logits.shape[0] == 3
    assert_like_alone(model, batch, [*first, 3], second, MIDDLE)


def test_padding_goes_with_the_row_that_needed_it(model: Any) -> None:
    batch = read(model, LONG, SHORT, MIDDLE)
    batch.keep([1, 2])
    assert batch._mask.shape == (2, len(MIDDLE))
    assert_like_alone(model, batch, SHORT, MIDDLE)
