"""Each loss: its value against the same written plainly, its gradient, what leaves it as it is, and what it refuses."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from plugins.train.tests.plain_losses import PLAIN
from ragline_train.losses import LOSSES
from ragline_train.losses.base import Batch, Loss, Other, both_ways, there, unit
from ragline_train.losses.classes import class_distance, next_to_label
from ragline_train.losses.pairs import InfoNCE, Score, between
from ragline_train.losses.parts import Masking, smooth_surprise
from ragline_train.losses.towers import Pairs, Towers, teach

N, D, P, W, M, K = 4, 3, 2, 3, 6, 2
"""Pairs, numbers of a vector, patches, words, rows of a bank, negatives of a pair."""
MAKES: dict[str, Callable[[], Loss]] = {
    **{
        name: lambda loss=loss: loss(temperature=0.5)
        for name, loss in LOSSES.items()
        if name not in ("margin", "attribute_regions", "captioning", "guided_mask")
    },
    "infonce": lambda: LOSSES["infonce"](temperature=0.5, share=0.75),
    "margin": lambda: LOSSES["margin"](n_classes=3, dim=D),
    "attribute_regions": lambda: LOSSES["attribute_regions"](n_attributes=2, dim=D, temperature=0.5),
    "captioning": lambda: LOSSES["captioning"](n_words=5, dim=D, temperature=0.5),
    "guided_mask": lambda: LOSSES["guided_mask"](dim=D, temperature=0.5),
    "masking": lambda: LOSSES["masking"](temperature=0.5, kept=1.0),
    "short_captions": lambda: LOSSES["short_captions"](temperature=0.5, directions=1),
    "instruct": lambda: LOSSES["instruct"](temperature=0.5, stage="second"),
}


def some(*shape: int, seed: int) -> Tensor:
    return unit(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def pairs() -> tuple[Tensor, Tensor, Batch]:
    """Every field that a loss may ask for. Vectors of a text are near its picture, as they are after some training."""
    v = some(N, D, seed=1)
    near = [unit(v + 0.7 * some(N, D, seed=seed)) for seed in (2, 3, 4, 5, 6)]
    corners = torch.rand(N, 4, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    boxes = torch.cat([corners[:, :2] / 2, 0.5 + corners[:, 2:] / 2], dim=1)
    batch = Batch(
        classes=torch.tensor([0, 1, 2, 0]),
        captions=near[0],
        others={"signal": Other(vectors=near[1], there=torch.tensor([True, False, True, True]))},
        patches=some(N, P, D, seed=8),
        words=some(N, W, D, seed=9),
        word_mask=torch.tensor([[True, True, False], [True, False, False], [True, True, False], [True, True, False]]),
        word_ids=torch.tensor([[1, 4, 0], [2, 0, 0], [3, 1, 0], [0, 2, 0]]),
        attention=torch.tensor([[0.3, 0.7]] * N, dtype=torch.float64),
        bank=some(M, D, seed=10),
        targets=torch.tensor([0, 3, 1, 5]),
        hidden=torch.tensor([[False, True, False, False, False, True]] * 2 + [[True, *[False] * 5]] * 2),
        teacher=some(N, D, seed=11),
        teacher_bank=some(M, D, seed=12),
        pseudo=some(N, D, seed=13),
        references=near[2],
        composed=near[3],
        composed_targets=near[4],
        text_negatives=some(N, K, D, seed=14),
        media_negatives=some(N, K, D, seed=15),
        has=torch.tensor([[True, False], [False, True], [True, True], [False, False]]),
        attributes=some(2, D, seed=16),
        block=torch.tensor([0, 1, 1, 0]),
        boxes=boxes,
        boxes_said=boxes.flip(0),
        gates=torch.softmax(some(N, 3, seed=17), dim=1),
        progress=0.25,
        mix=0.3,
    )
    return v, near[2], batch


def made(name: str) -> Loss:
    torch.manual_seed(0)
    return MAKES[name]().double()


def as_lists(name: str, loss: Loss, v: Tensor, t: Tensor, batch: Batch) -> dict[str, Any]:
    given: dict[str, Any] = {"v": v.tolist(), "t": t.tolist()}
    for field in fields(batch):
        value = getattr(batch, field.name)
        given[field.name] = value.tolist() if isinstance(value, Tensor) else value
    given |= {"signal": batch.others["signal"].vectors.tolist(), "there": batch.others["signal"].there.tolist()}
    given["weights"] = {key: value.tolist() for key, value in loss.state_dict().items()}
    if name == "score":
        drawing = torch.Generator().manual_seed(0)
        given["noise"] = torch.randn(v.shape, generator=drawing).double().tolist()
        given["left"] = torch.rand(len(v), 1, generator=drawing).double().clamp(0.02, 0.98).tolist()
    return given


def test_every_loss_is_held() -> None:
    assert set(MAKES) == set(LOSSES) == set(PLAIN)


@pytest.mark.parametrize("name", LOSSES)
def test_the_value_is_what_the_paper_says(name: str) -> None:
    loss, (v, t, batch) = made(name), pairs()
    value, parts = loss(v, t, batch)
    assert float(value.detach()) == pytest.approx(sum(parts.values()), abs=1e-9)
    assert float(value.detach()) == pytest.approx(PLAIN[name](as_lists(name, loss, v, t, batch)), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    """Of all that may be taught. Three hold something fixed that depends on media: differences are of the same, held."""
    loss, (v, t, batch) = made(name).eval(), pairs()
    if name in HELD:
        held_differences(loss, HELD[name](v, t, batch), v, t, batch)
        return
    taught = ("captions", "patches", "words", "pseudo", "composed", "gates", "boxes_said")
    sides = [v, t.detach()] if name == "pseudo_token" else [v, t.requires_grad_()]  # which lands on frozen texts
    given = [v.requires_grad_(), sides[1], *(getattr(batch, each).requires_grad_() for each in taught)]
    start = torch.Generator().manual_seed(0).get_state()

    def value(*numbers: Tensor) -> Tensor:
        if isinstance(loss, Masking | Score):
            loss.drawing.set_state(start)
        return loss(numbers[0], numbers[1], replace(batch, **dict(zip(taught, numbers[2:], strict=False))))[0]

    assert torch.autograd.gradcheck(value, (*given, *loss.parameters()), eps=1e-6, atol=1e-5)


Held = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Media, texts and captions -> the value, with what takes no gradient as it was before."""


def held_differences(loss: Loss, held: Held, v: Tensor, t: Tensor, batch: Batch) -> None:
    """What the loss's gradient says is what the held form changes by, number by number."""
    sides = [v.clone(), t.clone(), there(batch.captions).clone()]
    taught = [each.clone().requires_grad_() for each in sides]
    value, _ = loss(taught[0], taught[1], replace(batch, captions=taught[2]))
    assert float(value.detach()) == pytest.approx(float(held(*sides)), abs=1e-12)
    value.backward()
    for numbers, own in zip(sides, taught, strict=True):
        side = numbers.view(-1)
        for place, slope in enumerate((torch.zeros_like(own) if own.grad is None else own.grad).flatten().tolist()):
            ends = []
            for step in (1e-6, -1e-6):
                side[place] += step
                ends.append(float(held(*sides)))
                side[place] -= step
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, abs=1e-7)


def contrast(v: Tensor, t: Tensor) -> Tensor:
    return both_ways(v @ t.T / 0.5).mean()


def held_direction(v: Tensor, t: Tensor, batch: Batch) -> Held:
    """Of `adversarial`: where media are pushed to."""
    start = v.clone().requires_grad_()
    [slope] = torch.autograd.grad(contrast(start, t), start)
    return lambda media, texts, _: contrast(media, texts) + contrast(unit(media + 0.1 * unit(slope)), texts)


def held_line(v: Tensor, t: Tensor, batch: Batch) -> Held:
    """Of `short_captions`: along which media are coarse."""
    line = torch.linalg.svd(v - v.mean(dim=0)).Vh[0]

    def value(media: Tensor, texts: Tensor, captions: Tensor) -> Tensor:
        middle = media.mean(dim=0)
        coarse = middle + ((media - middle) @ line)[:, None] * line
        return contrast(media, texts) + 0.1 * contrast(unit(coarse), captions)

    return value


def held_weights(v: Tensor, t: Tensor, batch: Batch) -> Held:
    """Of `gated`: what each pair counts. No text is its caption here, so that all are doubted."""
    c = there(batch.captions).clone()
    pair, text, caption = (torch.exp(2 * ((a * b).sum(dim=1) - 1)) for a, b in ((t, c), (v, t), (v, c)))
    return lambda media, texts, captions: (
        (pair * text * both_ways(media @ texts.T / 0.5)).mean()
        + (pair * caption * both_ways(media @ captions.T / 0.5)).mean()
    )


HELD = {"adversarial": held_direction, "short_captions": held_line, "gated": held_weights}


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"score", "masking"}))
def test_no_loss_depends_on_the_order_of_pairs(name: str) -> None:
    """But for two that draw a number for one pair after the other."""
    loss, (v, t, batch) = made(name).eval(), pairs()
    order = torch.tensor([2, 0, 3, 1])
    one = batch.others["signal"]
    whole = ("bank", "teacher_bank", "attributes", "others", "progress", "mix")
    turned = {
        field.name: getattr(batch, field.name)[order]
        for field in fields(batch)
        if field.name not in whole and getattr(batch, field.name) is not None
    }
    turned["others"] = {"signal": Other(vectors=one.vectors[order], there=one.there[order])}
    first, second = loss(v, t, batch)[0], loss(v[order], t[order], replace(batch, **turned))[0]
    assert float(first.detach()) == pytest.approx(float(second.detach()), abs=1e-9)


@pytest.mark.parametrize(
    "name",
    sorted(set(LOSSES) - {"margin", "attribute_regions", "captioning", "guided_mask", "score"}),
)
def test_turning_the_space_changes_nothing(name: str) -> None:
    """But for those with weights of their own, and for one whose noise does not turn with it."""
    loss, (v, t, batch) = made(name).eval(), pairs()
    turn = torch.linalg.qr(some(D, D, seed=20)).Q
    vectors = (
        *("captions", "patches", "words", "bank", "teacher", "teacher_bank", "pseudo", "references", "composed"),
        *("composed_targets", "text_negatives", "media_negatives", "attributes"),
    )
    turned = {each: getattr(batch, each) @ turn for each in vectors}
    one = batch.others["signal"]
    turned["others"] = {"signal": Other(vectors=one.vectors @ turn, there=one.there)}
    first, second = loss(v, t, batch)[0], loss(v @ turn, t @ turn, replace(batch, **turned))[0]
    assert float(first.detach()) == pytest.approx(float(second.detach()), abs=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_numbers_that_are_none_are_refused(name: str) -> None:
    loss, (v, t, batch) = made(name), pairs()
    for side in (0, 1):
        given = [v.clone(), t.clone()]
        given[side][1, 0] = float("nan")
        with pytest.raises(ValueError, match="not finite"):
            loss(*given, batch)
    with pytest.raises(ValueError, match="needs two"):
        loss(v[:1], t[:1], batch)
    with pytest.raises(ValueError, match=r"must be \[n, d\]"):
        loss(v, t[:, :2], batch)


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.needs])
def test_a_batch_without_what_a_loss_is_made_of_is_refused(name: str) -> None:
    v, t, batch = pairs()
    lacking = LOSSES[name].needs[0]
    with pytest.raises(ValueError, match=f"the batch has no {lacking}"):
        made(name)(v, t, replace(batch, **{lacking: {} if lacking == "others" else None}))


# ---- by hand


def test_two_pairs_by_hand() -> None:
    """At right angles and with a temperature of 1 each surprise is log(1 + 1 / e)."""
    v = torch.eye(2, dtype=torch.float64)
    assert float(InfoNCE(temperature=1.0)(v, v)[0]) == pytest.approx(math.log(1 + 1 / math.e))


def test_pairs_of_one_group_are_no_negatives() -> None:
    v = torch.eye(3, dtype=torch.float64)
    value, _ = InfoNCE(temperature=1.0)(v, v, Batch(groups=torch.tensor([0, 0, 1])))
    pair, alone = math.log(1 + 1 / math.e), math.log(1 + 2 / math.e)
    assert float(value) == pytest.approx((2 * pair + alone) / 3)


def test_mixtures_lie_on_the_sphere_between_both_ends() -> None:
    v, t, _ = pairs()
    for share in (0.0, 0.2, 0.5, 1.0):
        assert torch.allclose(between(v, t, share).norm(dim=1), torch.ones(N, dtype=torch.float64))
    assert torch.allclose(between(v, t, 0.0), v)
    assert torch.allclose(between(v, t, 1.0), t)
    assert torch.isfinite(between(v, v, 0.5)).all()
    assert torch.isfinite(between(v, -v, 0.5)).all()


def test_smoothing_by_hand() -> None:
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    right, wrong = math.log(1 + 1 / math.e), math.log(1 + math.e)
    assert smooth_surprise(scores, 0.0).tolist() == pytest.approx([right, right])
    assert smooth_surprise(scores, 0.1).tolist() == pytest.approx([0.9 * right + 0.1 * wrong] * 2)


def test_classes_at_right_angles_are_two_apart() -> None:
    assert float(class_distance(torch.eye(2), torch.tensor([4, 9]))) == pytest.approx(2.0)
    assert float(class_distance(torch.eye(2), torch.tensor([4, 4]))) == 0.0


def test_padding_changes_no_score() -> None:
    v, t, batch = pairs()
    for name in ("tokenwise", "dtw", "smooth_match", "captioning"):
        loss = made(name).eval()
        other = replace(
            batch,
            words=there(batch.words).clone().index_fill_(1, torch.tensor([2]), 9.0),
            word_ids=there(batch.word_ids).clone().index_fill_(1, torch.tensor([2]), 4),
        )
        first, second = loss(v, t, batch)[0], loss(v, t, other)[0]
        assert float(first.detach()) == pytest.approx(float(second.detach()), abs=1e-12)


def test_a_target_that_is_hidden_is_refused() -> None:
    v, t, batch = pairs()
    with pytest.raises(ValueError, match="target is hidden"):
        made("bank")(v, t, replace(batch, targets=torch.tensor([1, 3, 1, 5])))


def test_the_least_labelled_class_is_next() -> None:
    drawn = random.Random(0)
    assert next_to_label([0, 1, 0, 2], [0, 0, 1, 2, 2], n_classes=3, drawn=drawn) == 1
    assert next_to_label([0, 0], [0, 0], n_classes=2, drawn=drawn) in (0, 1)
    with pytest.raises(ValueError, match="nothing is left"):
        next_to_label([], [0], n_classes=1, drawn=drawn)


def test_labels_are_spread_more_evenly_than_by_chance() -> None:
    drawn = random.Random(1)
    true = [0] * 80 + [1] * 15 + [2] * 5
    told, chance = list[int](), drawn.sample(true, 12)
    left = list(range(len(true)))
    for _ in range(12):
        place = next_to_label([true[each] for each in left], told, n_classes=3, drawn=drawn)
        told.append(true[left.pop(place)])
    spread = [max(counts) - min(counts) for counts in ([of.count(c) for c in range(3)] for of in (told, chance))]
    assert spread[0] < spread[1]


# ---- heads that are taught


def bed(n: int = 60) -> Pairs:
    """Texts in a space of eight numbers, and features that are a bent and noisy view of them."""
    made = torch.Generator().manual_seed(3)
    texts = unit(torch.randn(n, 8, generator=made))
    media = torch.tanh(texts @ torch.randn(8, 12, generator=made)) + 0.1 * torch.randn(n, 12, generator=made)
    return Pairs(media=media, texts=texts)


def right_share(towers: Towers, pairs: Pairs) -> float:
    with torch.no_grad():
        scores = towers.media(pairs.media) @ towers.texts(pairs.texts).T
    return float((scores.argmax(dim=1) == torch.arange(len(pairs))).float().mean())


def test_heads_begin_as_the_ridge_regression() -> None:
    pairs = bed()
    towers = Towers.ridge(pairs, penalty=1.0)
    x, y = pairs.media.double().numpy(), pairs.texts.double().numpy()
    plain = Ridge(alpha=1.0).fit(x, y).predict(x)
    with torch.no_grad():
        assert torch.allclose(towers.media(pairs.media), unit(torch.tensor(plain)).float(), atol=1e-5)
        assert torch.allclose(towers.texts(pairs.texts), pairs.texts)


def test_teaching_finds_more_on_what_it_was_taught() -> None:
    pairs = bed()
    towers = Towers.ridge(pairs, penalty=10.0)
    before = right_share(towers, pairs)
    towers.hiding.p = 0.1
    values = teach(towers, pairs, InfoNCE(), steps=60, size=30, rate=3e-3)
    assert sum(values[-10:]) < 0.7 * sum(values[:10])
    assert right_share(towers, pairs) > before


def test_a_seed_gives_the_same_heads() -> None:
    def taught(seed: int) -> Tensor:
        towers = Towers.ridge(bed(), penalty=10.0)
        teach(towers, bed(), InfoNCE(), steps=5, size=30, seed=seed)
        return towers.start.detach()

    assert torch.equal(taught(1), taught(1))
    assert not torch.equal(taught(1), taught(2))


def test_a_step_that_went_wrong_stops() -> None:
    pairs = bed()
    towers = Towers.ridge(pairs)
    with pytest.raises(ValueError, match="not finite"):
        teach(
            towers, replace(pairs, media=pairs.media.index_fill(0, torch.tensor([3]), float("inf"))), InfoNCE(), size=60
        )
    with pytest.raises(ValueError, match="two are needed"):
        teach(towers, bed(1), InfoNCE())
