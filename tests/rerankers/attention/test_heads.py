from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rag.core.errors import SpecError
from rerankers.attention.heads.layout import make_plan, parse_heads

MIXED = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]


def config(**settings: Any) -> SimpleNamespace:
    return SimpleNamespace(num_hidden_layers=4, num_attention_heads=2, model_type="tiny", **settings)


def test_heads_are_named_by_layer_and_number() -> None:
    assert parse_heads(["17-4", "2-1", "17-0"]) == {2: (1,), 17: (0, 4)}


@pytest.mark.parametrize("name", ["17", "17-", "a-1", "1-2-3", " 1-2", "-1-2"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="layer-head"):
        parse_heads([name])


def test_an_empty_list_of_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one head"):
        parse_heads([])


def test_all_heads_of_all_layers_are_read_by_default() -> None:
    plan = make_plan(config(), context=100)
    assert plan.heads == {0: (0, 1), 1: (0, 1), 2: (0, 1), 3: (0, 1)}
    assert (plan.skipped, plan.deepest) == ((), 3)


def test_a_band_of_layers_ends_the_work() -> None:
    plan = make_plan(config(), context=100, layers=(1, 2))
    assert list(plan.heads) == [1, 2]
    assert plan.deepest == 2


def test_chosen_heads_decide_how_deep_to_go() -> None:
    plan = make_plan(config(), context=100, heads={0: (1,), 2: (0,)})
    assert plan.heads == {0: (1,), 2: (0,)}
    assert plan.deepest == 2


def test_sliding_layers_are_skipped() -> None:
    plan = make_plan(config(sliding_window=16, layer_types=MIXED), context=100)
    assert list(plan.heads) == [1, 3]
    assert plan.skipped == (0, 2)


def test_a_window_as_long_as_the_context_never_slides() -> None:
    plan = make_plan(config(sliding_window=100, layer_types=MIXED), context=100)
    assert list(plan.heads) == [0, 1, 2, 3]


def test_a_window_that_is_switched_off_does_not_count() -> None:
    plan = make_plan(config(sliding_window=16, use_sliding_window=False), context=100)
    assert list(plan.heads) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "settings",
    [
        {"sliding_window": 16},
        {"sliding_window": 16, "layer_types": ["sliding_attention"] * 4},
        {"attention_chunk_size": 16, "layer_types": ["chunked_attention"] * 4},
    ],
)
def test_a_model_without_a_full_layer_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(
        SpecError, match=r"this tiny \(4 layers\) does; they see 16 tokens of the 100 that a prompt may have"
    ):
        make_plan(config(**settings), context=100)


def test_layers_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(SpecError, match="layers of kind linear_attention"):
        make_plan(config(layer_types=["linear_attention", *MIXED[1:]]), context=100)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"heads": {9: (0,)}}, r"no head 9-0: this tiny has layers 0\.\.3 with heads 0\.\.1"),
        ({"heads": {1: (0, 2)}}, r"no head 1-2"),
        ({"heads": {0: (1,), 1: (1,)}}, r"head 0-1 cannot be read.*Layers that do: 1, 3"),
        ({"layers": (2, 4)}, r"layers 2\.\.4: this tiny has layers 0\.\.3"),
        ({"layers": (2, 2)}, r"none of the layers asked for"),
    ],
)
def test_what_the_model_does_not_have_is_named(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_plan(config(sliding_window=16, layer_types=MIXED), context=100, **wanted)
