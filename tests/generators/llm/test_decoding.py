from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from generators.llm.decoding import Picker, chosen, groups, most_likely, pad_left
from rag.core.types import SamplingParams


def test_padding_is_on_the_left_and_masked() -> None:
    ids, mask = pad_left([[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(0, 5), st.integers(1, 100), st.integers(1, 4))
def test_batches_hold_every_row_once_and_keep_to_their_bounds(
    lengths: list[int], extra: int, tokens: int, rows: int
) -> None:
    batches = list(groups(lengths, extra=extra, tokens=tokens, rows=rows))
    assert sorted(at for batch in batches for at in batch) == list(range(len(lengths)))
    for batch in batches:
        widest = max(lengths[at] for at in batch) + extra
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * widest <= tokens


def test_log_probabilities_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    assert chosen(logits, [1, 0]) == pytest.approx([math.log(0.75), math.log(0.5)])
    assert most_likely(logits[0], 5) == [(1, pytest.approx(math.log(0.75))), (0, pytest.approx(math.log(0.25)))]


def test_greedy_takes_the_likeliest() -> None:
    assert Picker(SamplingParams()).pick(torch.tensor([0.1, 2.0, 1.0])) == 1


def test_sampling_follows_the_shares_and_its_seed() -> None:
    logits = torch.tensor([math.log(0.7), math.log(0.2), math.log(0.1)])
    picker, again = (Picker(SamplingParams(temperature=1.0, seed=3)) for _ in range(2))
    drawn = [picker.pick(logits) for _ in range(2000)]
    assert drawn == [again.pick(logits) for _ in range(2000)]
    assert drawn.count(0) / 2000 == pytest.approx(0.7, abs=0.04)
    assert drawn.count(2) / 2000 == pytest.approx(0.1, abs=0.03)


def test_the_nucleus_is_the_smallest_set_that_reaches_top_p() -> None:
    logits = torch.tensor([math.log(0.2), math.log(0.7), math.log(0.1)])
    picker = Picker(SamplingParams(temperature=1.0, top_p=0.75))
    assert {picker.pick(logits) for _ in range(300)} == {0, 1}
    narrow = Picker(SamplingParams(temperature=1.0, top_p=0.6))
    assert {narrow.pick(logits) for _ in range(50)} == {1}
