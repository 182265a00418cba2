"""A small writer of captions from a vector, and what two papers do so that it writes well.

NoC (Kang et al., ICCV 2023) tells it before each caption how like its picture that is, so that a writer that learnt from
captions of the web, many of which fit badly, can be asked for one that fits. Zero-shot audio captioning by prompts (Zhang et al.,
arXiv 2406.06295) teaches it from vectors of texts alone, each blurred, and tells it the labels that are nearest to the vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ragline_train.losses.base import unit

LEVELS = 8


class Writer(nn.Module):
    """One recurrent layer: it begins with the vector, reads what it is told, and then writes word by word.

    Args:
        n_words: how many words there are.
        dim: of vectors.
        n_told: how many different things it may be told, such as levels of fit, or labels; 0: none.
    """

    def __init__(self, *, n_words: int, dim: int, n_told: int = 0, hidden: int = 256) -> None:
        super().__init__()
        self.n_words = n_words
        self.start = nn.Linear(dim, hidden)
        self.words = nn.Embedding(n_words + 1 + n_told, hidden)  # words, what begins a text, what it is told
        self.layer = nn.GRU(hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, n_words + 1)  # words, and the end

    def loss(self, v: Tensor, ids: Tensor, mask: Tensor, told: Tensor | None = None) -> Tensor:
        """Mean surprise of the words and of the end.

        Args:
            v: float [n, dim]. ids: int [n, w]. mask: bool [n, w], which of them are any.
            told: int [n, k].
        """
        states, _ = self.layer(self.words(torch.cat([self._before(v, told), ids], dim=1)), self._memory(v))
        ends = mask.sum(dim=1, keepdim=True)
        wanted = torch.cat([ids, ids[:, :1]], dim=1).scatter(1, ends, self.n_words)
        kept = torch.arange(wanted.shape[1]) <= ends
        return cross_entropy(self.out(states[:, -wanted.shape[1] :])[kept], wanted[kept])

    @torch.no_grad()
    def write(self, v: Tensor, told: Tensor | None = None, *, most: int = 12) -> list[list[int]]:
        """Words of each, the most likely one after the others until the end, none twice in a row."""
        states, memory = self.layer(self.words(self._before(v, told)), self._memory(v))
        written: list[list[int]] = [[] for _ in range(len(v))]
        over = torch.zeros(len(v), dtype=torch.bool)
        for _ in range(most):
            scores = self.out(states[:, -1])
            for place, own in enumerate(written):
                scores[place, own[-1:]] = -torch.inf
            best = scores.argmax(dim=1)
            over |= best == self.n_words
            if bool(over.all()):
                break
            for place in torch.nonzero(~over).flatten().tolist():
                written[place].append(int(best[place]))
            states, memory = self.layer(self.words(best)[:, None], memory)
        return written

    def _before(self, v: Tensor, told: Tensor | None) -> Tensor:
        """[n, k + 1]: what it is told, and what begins a text."""
        begin = torch.full((len(v), 1), self.n_words)
        return begin if told is None else torch.cat([self.n_words + 1 + told, begin], dim=1)

    def _memory(self, v: Tensor) -> Tensor:
        return torch.tanh(self.start(v))[None]


def fit_levels(similarities: Tensor, *, n: int = LEVELS) -> Tensor:
    """int [m]: of each pair in which of `n` equally wide stretches from the least to the largest similarity it lies, from 0.

    >>> fit_levels(torch.tensor([0.0, 0.1, 0.5, 0.99, 1.0]), n=2).tolist()
    [0, 0, 1, 1, 1]
    """
    low, high = similarities.min(), similarities.max()
    return ((similarities - low) / (high - low).clamp(min=1e-9) * n).long().clamp(max=n - 1)


def mixed_texts(t: Tensor, *, share: float, noise: float, drawing: torch.Generator) -> Tensor:
    """[n, d]: `share` of each text and the rest of its nearest other one, with Gaussian noise, of length 1: texts as far from
    themselves as media are."""
    nearest = (t @ t.T).fill_diagonal_(-torch.inf).argmax(dim=1)
    blurred = share * t + (1 - share) * t[nearest]
    return unit(blurred + noise * torch.randn(t.shape, generator=drawing) / t.shape[1] ** 0.5)


def teach_writer(
    writer: Writer, inputs: Sequence[Tensor], ids: Tensor, mask: Tensor, *, steps: int, size: int = 64, seed: int = 0
) -> list[float]:
    """Teach it, in place; the value of each step.

    Args:
        inputs: vectors float [N, dim], and what it is told, int [N, k], where that is anything.
    """
    drawing = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(writer.parameters(), lr=3e-3, weight_decay=0.01)
    values = []
    for _ in range(steps):
        rows = torch.randperm(len(ids), generator=drawing)[:size]
        vectors, *told = (each[rows] for each in inputs)
        value = writer.loss(vectors, ids[rows], mask[rows], *told)
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        values.append(float(value.detach()))
    return values
