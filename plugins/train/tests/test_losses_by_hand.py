"""Each loss on a case that is worked by hand: two or three pairs in a plane, a temperature of 1 where nothing else is said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from ragline_train.losses import LOSSES
from ragline_train.losses.base import Batch, Loss, Other
from ragline_train.losses.pairs import Denoiser, gaussian_denoiser

EAST, NORTH = (1.0, 0.0), (0.0, 1.0)
ROOT = math.sqrt(0.5)
BETWEEN = (ROOT, ROOT)
"""Of length 1, at 45 degrees to both."""


def s(right: float, *wrong: float) -> float:
    """How surprising the right score is: -log(exp(right) / sum of exp over all) = log(1 + sum of exp(wrong - right))."""
    return math.log(1 + sum(math.exp(each - right) for each in wrong))


def gelu(x: float) -> float:
    """x times the share of a normal distribution below x."""
    return x / 2 * (1 + math.erf(x / math.sqrt(2)))


APART = s(1, 0)
"""InfoNCE of two pairs whose own sides are the same and which are at right angles: each sees 1 and 0, both ways. .3133."""
CROSSED = s(0, 1)
"""The same where each is like the other's side alone. 1.3133."""


@dataclass(frozen=True)
class Case:
    """`given`: fields of the batch, lists as tensors of float64. `weights`: what the loss's own weights are set to."""

    value: float
    v: Sequence[Sequence[float]] = (EAST, NORTH)
    t: Sequence[Sequence[float]] = (EAST, NORTH)
    given: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Any] = field(default_factory=dict)


def off_by_a_half(noisy: Tensor, left: Tensor, t: Tensor) -> Tensor:
    """The noise that is in them if they are the text's own vector, and a half too much in each number."""
    return (noisy - left.sqrt() * t) / (1 - left).sqrt() + 0.5


_OFF: Denoiser = off_by_a_half
_PUSH = 0.1 * ROOT
"""By how much each number changes where .1 is gone along (-1, 1) of length 1."""
_MOVED = math.hypot(1 - _PUSH, _PUSH)
_THREE, _ONE = 3 / math.sqrt(10), 1 / math.sqrt(10)

CASES: dict[str, Case] = {
    # v . t = [[1, .6], [0, .8]]; rows by three quarters, columns by one.
    "infonce": Case(
        0.75 * (s(1, 0.6) + s(0.8, 0)) / 2 + 0.25 * (s(1, 0) + s(0.8, 0.6)) / 2,
        t=(EAST, (0.6, 0.8)),
        settings={"share": 0.75},
    ),
    # Media are their texts; the signals are each the other's text.
    "anchored": Case(
        APART + CROSSED,
        given={
            "others": {
                "signal": Other(
                    vectors=torch.tensor([NORTH, EAST], dtype=torch.float64), there=torch.tensor([True] * 2)
                )
            }
        },
    ),
    # Captions: both north. Pair 1: t . c = 0, so it weighs exp(2 (0 - 1)); its text exp(2 (1 - 1)) = 1 more, its caption
    # exp(2 (0 - 1)) more. Pair 2: t . c = 1 weighs 1. v . c = [[0, 0], [1, 1]]: rows log 2, columns (0 right of 1), (1 right of 0).
    "gated": Case(
        (math.exp(-2) * APART + APART) / 2
        + (math.exp(-4) * (math.log(2) + s(0, 1)) / 2 + (math.log(2) + s(1, 0)) / 2) / 2,
        given={"captions": [NORTH, NORTH]},
    ),
    # Text 1 is one word, east. By patches: picture 1 to both texts 1, picture 2 to text 1 a half and to text 2 1. By words: picture
    # 1 to text 1 1 and to text 2 a half, picture 2 to both 1.
    "tokenwise": Case(
        ((s(1, 1) + s(1, 0.5)) / 2 + (s(1, 1) + s(1, 0.5)) / 2) / 2,
        given={
            "patches": [[EAST, EAST], [NORTH, EAST]],
            "words": [[EAST, NORTH], [NORTH, EAST]],
            "word_mask": [[True, False], [True, True]],
        },
    ),
    # A tenth is soft at the end. Picture 1: both words have their patch, 1. Picture 2: its word has none, 0. So half of .1.
    "smooth_match": Case(
        0.9 * s(1, 0) + 0.1 * s(0, 1) + 0.1 * (1 - 0.5),
        given={
            "patches": [[EAST, NORTH], [NORTH, NORTH]],
            "words": [[NORTH, EAST], [EAST, EAST]],
            "word_mask": [[True, True], [True, False]],
            "progress": 1.0,
        },
    ),
    # Halfway between each picture and its text is the same point, at 45 degrees to all; own pairs are at right angles. A quarter of
    # nine epochs is in the third one, so the mixed term weighs a third of .01.
    "mixup": Case(
        CROSSED + 0.01 / 3 * s(0, ROOT),
        t=(NORTH, EAST),
        given={"mix": 0.5, "progress": 0.25},
        settings={"mixed_temperature": 1.0},
    ),
    # Two classes of one each, |(1, -1)|^2 = 2 apart, by .05.
    "confusion": Case(APART + 0.05 * 2, given={"classes": [0, 1]}),
    # Both media are 45 degrees from both centres; the own one has .3 radians more. The scale is 16.
    "margin": Case(
        s(16 * math.cos(math.pi / 4 + 0.3), 16 * math.cos(math.pi / 4)),
        v=(BETWEEN, BETWEEN),
        given={"classes": [0, 1]},
        settings={"n_classes": 2, "dim": 2},
        weights={"centres": [EAST, NORTH]},
    ),
    # The large tower gives half to each of the bank, the small one e / (1 + e) and 1 / (1 + e): KL of halves to these.
    "queue": Case(
        APART + 0.5 * math.log(0.5 / (math.e / (1 + math.e))) + 0.5 * math.log(0.5 / (1 / (1 + math.e))),
        given={"teacher": [BETWEEN, BETWEEN], "teacher_bank": [EAST, NORTH], "bank": [EAST, NORTH]},
        settings={"bank_temperature": 1.0},
    ),
    # Questions are east and north again. The third of the bank is hidden from the first question.
    "bank": Case(
        (s(1, 0) + s(1, 0, ROOT)) / 2,
        given={
            "bank": [EAST, NORTH, BETWEEN],
            "targets": [0, 1],
            "hidden": [[False, False, True], [False, False, False]],
        },
    ),
    # Frozen are both captions, and twice what is between. Questions see themselves, the other and these; what is pseudo has its own
    # at 45 degrees, as it has the other of these, and one of the captions is itself.
    "pseudo_token": Case(
        (s(1, 0, ROOT, ROOT) + s(ROOT, ROOT, 1, 0)) / 2,
        given={"pseudo": [NORTH, EAST], "references": [BETWEEN, BETWEEN]},
    ),
    "instruct": Case(
        APART + CROSSED,
        given={"composed": [NORTH, EAST], "composed_targets": [EAST, NORTH]},
        settings={"stage": "second"},
    ),
    # Turned texts are north, turned media east, and all see both: what is like them has two more that are right, the other two more
    # at right angles.
    "order": Case(
        ((s(1, 0, 0, 0) + s(1, 0, 1, 1)) / 2 + (s(1, 0, 1, 1) + s(1, 0, 0, 0)) / 2) / 2,
        given={"text_negatives": [[NORTH], [NORTH]], "media_negatives": [[EAST], [EAST]]},
    ),
    # Each medium sees its own wrong text alone, texts see none.
    "own_negatives": Case(
        (s(1, 0, 0) + s(1, 0, 1)) / 4 + s(1, 0) / 2,
        given={"text_negatives": [[NORTH], [NORTH]]},
    ),
    # The attribute is east. Picture 1 has it and a patch of it, 1; picture 2 has not, and its best patch is at right angles.
    "attribute_regions": Case(
        s(1, 0),
        given={"patches": [[EAST, NORTH], [NORTH, NORTH]], "has": [[True], [False]], "attributes": [EAST]},
        settings={"n_attributes": 1, "dim": 2},
    ),
    # Pair 1: half of the whole picture is said. One side is off by .5, half is shared and nothing is around: .5 + .5. Pair 2: the
    # other half is said. Two sides are off by .5, nothing is shared: 1 + 1.
    "region_descriptions": Case(
        APART + CROSSED + (1 + 2) / 2,
        given={
            "composed": [NORTH, EAST],
            "composed_targets": [EAST, NORTH],
            "boxes": [[0, 0, 1, 1], [0, 0, 0.5, 1]],
            "boxes_said": [[0, 0, 0.5, 1], [0.5, 0, 1, 1]],
        },
    ),
    # Both texts' things are said to be in the patch in the east: of the first it is, of the second the other one is like it.
    "blocks": Case(APART + (s(1, 0) + s(0, 1)) / 2, given={"patches": [[EAST, NORTH]] * 2, "block": [0, 0]}),
    # What writes sees gelu(mean of the words before + picture), and its scores are that. Picture 1 at its first word: (1, 0), and
    # word 0 is right. At its second: half of word 0 is before, (1.5, 0), and word 1 is right. Picture 2: (0, 1), word 1. Twice.
    "captioning": Case(
        APART + 2 * (s(gelu(1), 0) + s(0, gelu(1.5)) + s(gelu(1), 0)) / 3,
        given={"word_ids": [[0, 1], [1, 0]], "word_mask": [[True, True], [True, False]]},
        settings={"n_words": 2, "dim": 2},
        weights={
            "words.weight": [EAST, NORTH, (0.0, 0.0)],
            "layer.weight": [[1, 0, 1, 0], [0, 1, 0, 1]],
            "layer.bias": [0, 0],
            "out.weight": [EAST, NORTH],
            "out.bias": [0, 0],
        },
    ),
    # The patch like the text is hidden, the other one is left; told is what is between the two, at 45 degrees to what is hidden.
    "guided_mask": Case(
        APART + (1 - ROOT),
        given={"patches": [[EAST, NORTH]] * 2},
        settings={"dim": 2},
        weights={"layer.weight": [[1, 0, 1, 0], [0, 1, 0, 1]], "layer.bias": [0, 0]},
    ),
    # Two of three patches are kept, and no chance is left for the third. Picture 1 is what is between, picture 2 is north.
    # Scores [[r, r], [0, 1]]: rows log 2 and (1 of 0), columns (r of 0) and (1 of r).
    "masking": Case(
        ((math.log(2) + s(1, 0)) / 2 + (s(ROOT, 0) + s(1, ROOT)) / 2) / 2,
        given={
            "patches": [[EAST, NORTH, EAST], [NORTH, NORTH, EAST]],
            "attention": [[1000.0, 1000.0, 0.0]] * 2,
        },
        settings={"kept": 2 / 3},
    ),
    # What knows the noise is off by a half in each number, whatever was drawn: a quarter, by .01.
    "score": Case(APART + 0.01 * 0.25, settings={"denoiser": _OFF}),
    # Picture 1 through text 1: no cost. Through text 2, one word: 1 + 0 over two steps. Picture 2 through text 1: 1, then 0, over
    # three; through text 2: none. So [[1, 1/2], [2/3, 1]].
    "dtw": Case(
        ((s(1, 1 / 2) + s(1, 2 / 3)) / 2 + (s(1, 2 / 3) + s(1, 1 / 2)) / 2) / 2,
        given={
            "patches": [[EAST, NORTH], [NORTH, NORTH]],
            "words": [[EAST, NORTH], [NORTH, EAST]],
            "word_mask": [[True, True], [True, False]],
        },
        settings={"softness": 0.0},
    ),
    # The loss grows where each medium goes to the other's text: (1, 0) moves along (-1, 1) of length 1 by .1, and is made as long
    # as it was.
    "adversarial": Case(APART + s((1 - _PUSH) / _MOVED, _PUSH / _MOVED)),
    # Media lie around (0, 1/3), and most of all along east: of (1, 0) that holds (1, 1/3), which is (3, 1) by its length; of
    # (-1, 0) its mirror image, and of north (0, 1/3). Scores to their own captions [[a, -a, b], [-a, a, b], [0, 0, 1]].
    "short_captions": Case(
        (2 * s(1, -1, 0) + s(1, 0, 0)) / 3
        + 0.1
        * (
            (2 * s(_THREE, -_THREE, _ONE) + s(1, 0, 0)) / 3  # rows
            + (2 * s(_THREE, -_THREE, 0) + s(1, _ONE, _ONE)) / 3  # columns
        )
        / 2,
        v=(EAST, (-1.0, 0.0), NORTH),
        t=(EAST, (-1.0, 0.0), NORTH),
        given={"captions": [EAST, (-1.0, 0.0), NORTH]},
        settings={"directions": 1},
    ),
    # All go to the first expert first, which is given .7 in the mean: 2 (1 x .7 + 0 x .3) = 1.4, by .01.
    "experts": Case(APART + 0.01 * 1.4, given={"gates": [[0.8, 0.2], [0.6, 0.4]]}),
    # Of two media one went from where it was, by |(1, -1)|^2 = 2; a quarter of the time is over.
    "inherited": Case(APART + 0.75 * (2 + 0) / 2, given={"teacher": [NORTH, NORTH], "progress": 0.25}),
    # The first medium is at right angles to its text and like its caption; the second like its text.
    "rewritten": Case(APART, t=(NORTH, NORTH), given={"captions": [EAST, BETWEEN]}),
}


def _tensor(numbers: Any) -> Any:
    """Lists of floats as float64, of whole numbers and of yes and no as what they are; all else as it is."""
    if not isinstance(numbers, list | tuple):
        return numbers
    made = torch.tensor(numbers)
    return torch.tensor(numbers, dtype=torch.float64) if made.is_floating_point() else made


def loss_of(name: str) -> Loss:
    """In float64, with the case's settings and weights, and not in training."""
    case = CASES[name]
    own: Mapping[str, Any] = {} if name == "margin" else {"temperature": 1.0}
    make: Callable[..., Loss] = LOSSES[name]
    loss = make(**{**own, **case.settings}).double().eval()
    state = loss.state_dict()
    loss.load_state_dict({**state, **{key: _tensor(each) for key, each in case.weights.items()}})
    return loss


def test_every_loss_has_a_case() -> None:
    assert CASES.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", LOSSES)
def test_the_value_is_what_is_worked_by_hand(name: str) -> None:
    case, loss = CASES[name], loss_of(name)
    batch = Batch(**{key: _tensor(each) for key, each in case.given.items()})
    value, parts = loss(_tensor(case.v), _tensor(case.t), batch)
    assert float(value.detach()) == pytest.approx(case.value, abs=1e-9)
    assert sum(parts.values()) == pytest.approx(case.value, abs=1e-9)


def test_what_cases_are_made_of() -> None:
    assert pytest.approx(0.31326169) == APART
    assert pytest.approx(1.31326169) == CROSSED
    assert s(0, 0, 0) == pytest.approx(math.log(3))
    assert [gelu(0), gelu(1), gelu(1.5)] == pytest.approx([0, 0.84134475, 1.39978920])


def test_the_noise_where_pictures_lie_around_a_text() -> None:
    """Spread by 1 with .36 left, (1, 0) of the text (1, 0): .8 (1 - .6) / (1 - .36 + .36) = .32, and none in the other number."""
    one = torch.tensor([EAST]).double()
    assert gaussian_denoiser(1.0)(one, torch.tensor([[0.36]]).double(), one).tolist()[0] == pytest.approx([0.32, 0.0])
