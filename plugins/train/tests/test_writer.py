"""The small writer: what it is taught by, what it writes, and what it is told beside a vector."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ragline_train.losses.base import unit
from ragline_train.losses.negatives import negatives_by_kind
from ragline_train.writer import Writer, fit_levels, mixed_texts, teach_writer

N, D, WORDS = 24, 8, 6


def captions() -> tuple[Tensor, Tensor, Tensor]:
    """Two words of a vector: the place of its largest number, and whether it is positive. Some have one word."""
    v = unit(torch.randn(N, D, generator=torch.Generator().manual_seed(0)))
    ids = torch.stack([v[:, :4].argmax(dim=1), 4 + (v[:, 7] > 0).long()], dim=1)
    mask = torch.ones(N, 2, dtype=torch.bool)
    mask[::5, 1] = False
    return v, ids, mask


def test_the_surprise_is_that_of_each_word_after_those_before_it() -> None:
    """A word at a time, without a batch and without padding."""
    torch.manual_seed(0)
    writer, (v, ids, mask) = Writer(n_words=WORDS, dim=D, n_told=3), captions()
    told = torch.arange(N)[:, None] % 3
    total, n = 0.0, 0
    for row in range(N):
        words = [int(each) for each in ids[row][mask[row]]]
        read = [WORDS + 1 + int(told[row, 0]), WORDS]
        for word in [*words, WORDS]:
            states, _ = writer.layer(writer.words(torch.tensor([read])), torch.tanh(writer.start(v[row]))[None, None])
            total -= float(writer.out(states[0, -1]).log_softmax(dim=0)[word].detach())
            n += 1
            read.append(word)
    assert float(writer.loss(v, ids, mask, told).detach()) == pytest.approx(total / n, rel=1e-5)


def test_what_fills_a_caption_up_changes_nothing() -> None:
    writer, (v, ids, mask) = Writer(n_words=WORDS, dim=D), captions()
    other = ids.masked_fill(~mask, 3)
    with torch.no_grad():
        assert float(writer.loss(v, ids, mask)) == pytest.approx(float(writer.loss(v, other, mask)), rel=1e-6)


def test_it_learns_to_write_what_it_was_taught() -> None:
    torch.manual_seed(1)
    writer, (v, ids, mask) = Writer(n_words=WORDS, dim=D), captions()
    values = teach_writer(writer, [v], ids, mask, steps=150, size=N)
    assert values[-1] < 0.1 * values[0]
    assert writer.write(v) == [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)]


def test_it_writes_otherwise_when_it_is_told_otherwise() -> None:
    """A third of the captions is noise, and the level says which: asked for the high level it writes the right word."""
    torch.manual_seed(2)
    v, ids, mask = captions()
    fits = torch.arange(N) % 3 > 0
    noisy = torch.where(fits[:, None], ids, (ids + 2) % WORDS)
    writer = Writer(n_words=WORDS, dim=D, n_told=2)
    teach_writer(writer, [v, fits.long()[:, None]], noisy, mask, steps=200, size=N)
    high = writer.write(v, torch.ones(N, 1, dtype=torch.long))
    low = writer.write(v, torch.zeros(N, 1, dtype=torch.long))
    right = [sum(own[:1] == row[:1].tolist() for own, row in zip(some, ids, strict=True)) for some in (high, low)]
    assert right[0] > 0.9 * N > 0.5 * N > right[1]


def test_levels_by_hand() -> None:
    assert fit_levels(torch.tensor([0.1, 0.2, 0.3, 0.5, 0.9]), n=4).tolist() == [0, 0, 1, 2, 3]
    assert fit_levels(torch.full((3,), 0.5), n=4).tolist() == [0, 0, 0]


def test_a_blurred_text_lies_between_itself_and_the_nearest_other() -> None:
    t = unit(torch.randn(5, D, generator=torch.Generator().manual_seed(3)))
    drawing = torch.Generator().manual_seed(0)
    assert torch.allclose(mixed_texts(t, share=1.0, noise=0.0, drawing=drawing), t)
    nearest = (t @ t.T - 2 * torch.eye(5)).argmax(dim=1)
    assert torch.allclose(mixed_texts(t, share=0.0, noise=0.0, drawing=drawing), t[nearest])
    blurred = mixed_texts(t, share=0.7, noise=0.5, drawing=drawing)
    assert torch.allclose(blurred.norm(dim=1), torch.ones(5))
    assert not torch.allclose(blurred, t, atol=0.05)


class TestNegativesByKind:
    def test_by_hand(self) -> None:
        """Three pictures and three texts. The question wants picture 0, which is ranked behind text 4 alone."""
        scores = torch.tensor([[0.8, 0.3, 0.2, 0.1, 0.9, 0.4]])
        right = torch.tensor([[True, False, False, False, False, False]])
        kinds = torch.tensor([0, 0, 0, 1, 1, 1])
        drawing = torch.Generator().manual_seed(0)
        found = negatives_by_kind(scores, right, kinds, torch.tensor([0]), n=4, drawing=drawing, deep=2)
        assert found[0, :2].tolist() == [4, 5]
        assert sorted(found[0, 2:].tolist()) == [1, 2]

    def test_half_are_of_the_wrong_kind_and_none_is_right(self) -> None:
        drawing = torch.Generator().manual_seed(1)
        scores = torch.randn(20, 200, generator=drawing)
        right = torch.zeros(20, 200, dtype=torch.bool)
        right[torch.arange(20), torch.arange(20)] = True
        kinds, wanted = torch.arange(200) % 2, torch.arange(20) % 2
        found = negatives_by_kind(scores, right, kinds, wanted, n=8, drawing=drawing)
        assert not right.gather(1, found).any()
        assert (kinds[found[:, :4]] != wanted[:, None]).all()
        assert (kinds[found[:, 4:]] == wanted[:, None]).all()
        ranks = scores.argsort(dim=1, descending=True).argsort(dim=1)
        assert int(ranks.gather(1, found[:, 4:]).min()) >= 45
        best = scores.gather(1, torch.arange(20)[:, None])
        above = ((scores > best) & (kinds[None] != wanted[:, None])).sum(dim=1)
        taken = (scores.gather(1, found[:, :4]) > best).sum(dim=1)
        assert torch.equal(taken, above.clamp(max=4))

    def test_a_gallery_that_is_too_small_is_told(self) -> None:
        with pytest.raises(ValueError, match="has not 4 negatives for each question"):
            negatives_by_kind(
                torch.zeros(1, 3),
                torch.tensor([[True, False, False]]),
                torch.tensor([0, 0, 1]),
                torch.tensor([0]),
                n=4,
                drawing=torch.Generator(),
            )
