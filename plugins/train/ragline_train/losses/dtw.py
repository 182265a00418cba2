"""Pictures and texts as two sequences that are read side by side."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import both_ways, without_group


class Dtw(Loss):
    """InfoNCE of similarities of sequences: the best way through both that never turns back (dynamic time warping, softened).

    Args:
        softness: of the minimum over ways; 0.1 counts all but the worst.
    """

    source = "Sugar, its term of alignment; the kernel and the language model beside it are left out"
    needs = ("patches", "words", "word_mask")

    def __init__(self, *, temperature: float = 0.07, softness: float = 0.1) -> None:
        super().__init__(temperature=temperature)
        self.softness = softness

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = sequence_similarity(
            there(batch.patches), there(batch.words), there(batch.word_mask), softness=self.softness
        )
        return {"sequences": both_ways(without_group(scores / self.temperature, batch.groups)).mean()}


def sequence_similarity(patches: Tensor, words: Tensor, word_mask: Tensor, *, softness: float) -> Tensor:
    """[n, m]: one less the mean cost of the best way from the first to the last of both, for [n, p, d] and [m, w, d].

    The cost of a step is one less the cosine, and a way is as long as p + w - 1, so that long texts cost no more. Of texts of
    no words it is 1.
    """
    costs = 1 - torch.einsum("npd,mwd->pwnm", patches, words)
    n_patches, n_words, n, m = costs.shape
    steps = [row.unbind() for row in costs.unbind()]  # one by one, each step's gradient would be as large as all costs
    far = torch.full((n, m), torch.inf, dtype=costs.dtype, device=costs.device)
    row: list[Tensor] = [torch.zeros_like(far), *([far] * n_words)]
    for p in range(n_patches):
        new = [far]
        for w in range(n_words):
            ways = torch.stack([row[w], row[w + 1], new[w]])
            new.append(steps[p][w] + _soft_min(ways, softness))
        row = new
    ends = word_mask.sum(dim=1)
    table = torch.stack([torch.zeros_like(far), *row[1:]], dim=2)
    whole = table.gather(2, ends[None, :, None].expand(n, m, 1)).squeeze(2)
    return 1 - whole / (n_patches + ends - 1).clamp(min=1)


def _soft_min(ways: Tensor, softness: float) -> Tensor:
    """Over the first dimension; of infinities alone infinity."""
    if softness == 0:
        return ways.amin(dim=0)
    return -softness * torch.logsumexp(-ways / softness, dim=0)
