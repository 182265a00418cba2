"""Softer targets as training goes on, and words matched to patches one to one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import similarities


class SmoothMatch(Loss):
    """InfoNCE whose right column is given 1 - e and the others e together, with e growing from 0 to `softest`; and one minus
    the mean similarity of words and the patches that are matched to them, no patch to two.

    The matching is the best one (by the Hungarian method) and takes no gradient; what is matched does. The schedule is ours:
    e grows evenly.
    """

    source = "LightCLIP, without its help of masked language modelling"
    needs = ("patches", "words", "word_mask")

    def __init__(self, *, temperature: float = 0.07, softest: float = 0.1, weight: float = 0.1) -> None:
        super().__init__(temperature=temperature)
        self.softest, self.weight = softest, weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = similarities(v, t, temperature=self.temperature)
        soft = self.softest * batch.progress
        smoothed = (smooth_surprise(scores, soft) + smooth_surprise(scores.T, soft)) / 2
        matched = [
            matched_similarity(patches, words[mask])
            for patches, words, mask in zip(
                there(batch.patches), there(batch.words), there(batch.word_mask), strict=True
            )
        ]
        return {"contrast": smoothed.mean(), "matched": self.weight * (1 - torch.stack(matched)).mean()}


def smooth_surprise(scores: Tensor, soft: float) -> Tensor:
    """[n]: cross entropy with 1 - soft for the own column and soft shared evenly by the others. Scores: [n, n]."""
    shares = torch.full_like(scores, soft / (len(scores) - 1)).fill_diagonal_(1 - soft)
    return -(shares * scores.log_softmax(dim=1)).sum(dim=1)


def matched_similarity(patches: Tensor, words: Tensor) -> Tensor:
    """Mean similarity of matched words and patches, [p, d] and [w, d]; of the fewer side all are matched. 0 without words."""
    from scipy.optimize import linear_sum_assignment

    if not len(words):
        return patches.new_zeros(())
    pairs = words @ patches.T
    rows, columns = linear_sum_assignment(pairs.detach().cpu().numpy(), maximize=True)
    return pairs[torch.as_tensor(rows), torch.as_tensor(columns)].mean()
