"""Towers that grow, or learn from one that has: longer texts, more experts, a larger body."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ragline_train.losses.base import Batch, Loss, there, unit


class ShortCaptions(Loss):
    """InfoNCE with long texts `t`, and of short ones (`captions`) with what the main directions of the batch hold of media.

    Args:
        directions: how many of them; the batch has to be larger.
        weight: of the short texts.
    """

    source = "Long-CLIP (Zhang et al.)"
    needs = ("captions",)

    def __init__(self, *, temperature: float = 0.07, directions: int = 32, weight: float = 0.1) -> None:
        super().__init__(temperature=temperature)
        self.directions, self.weight = directions, weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        if len(v) <= self.directions:
            raise ValueError(f"ShortCaptions: {len(v)} pairs for {self.directions} directions; take a larger batch")
        coarse = unit(main_directions(v, self.directions))
        contrast = self.contrast(v, t, batch.groups)
        short = self.contrast(coarse, there(batch.captions), batch.groups)
        return {"contrast": contrast, "short": self.weight * short}


class Experts(Loss):
    """InfoNCE, and how unevenly experts are used: `e` times the sum over experts of the share of media that go to each first
    and the mean share that each is given. 1 where all are used alike.
    """

    source = "CLIP-MoE, its balance; experts come from stages of contrast there, and are given here"
    needs = ("gates",)

    def __init__(self, *, temperature: float = 0.07, weight: float = 0.01) -> None:
        super().__init__(temperature=temperature)
        self.weight = weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        gates = there(batch.gates)
        first = one_hot(gates.argmax(dim=1), gates.shape[1]).to(gates).mean(dim=0)
        uneven = gates.shape[1] * (first * gates.mean(dim=0)).sum()
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "balance": self.weight * uneven}


class Inherited(Loss):
    """InfoNCE, and the squared distance of media from those of the smaller tower that this one grew from (`teacher`, of the
    same width), which fades as training goes on.
    """

    source = "GrowCLIP, by what a grown tower keeps; which architecture grows is not searched"
    needs = ("teacher",)

    def __init__(self, *, temperature: float = 0.07, weight: float = 1.0) -> None:
        super().__init__(temperature=temperature)
        self.weight = weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        kept = (v - there(batch.teacher).detach()).square().sum(dim=1).mean()
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "inherited": self.weight * (1 - batch.progress) * kept}


def main_directions(v: Tensor, n: int) -> Tensor:
    """[n, d]: the vectors as their mean and their `n` main directions within the batch hold them. In float32 or finer.

    The directions take no gradient, for that of a singular vector is not bounded where two values are near each other.
    """
    mean = v.mean(dim=0, keepdim=True)
    exact = (v - mean).detach().to(torch.promote_types(v.dtype, torch.float32))
    directions: Tensor = torch.linalg.svd(exact, full_matrices=False).Vh[:n].to(v)
    return mean + (v - mean) @ directions.T @ directions


class Queue(Loss):
    """KL of the large tower's shares of a bank to the small tower's, in media `v`; and InfoNCE of the small tower.

    Both towers see the same items of the bank, each by its own vectors.
    """

    source = "ISA (asymmetric towers), without its alignment of pseudo words"
    needs = ("teacher", "teacher_bank", "bank")

    def __init__(self, *, temperature: float = 0.07, bank_temperature: float = 0.05, weight: float = 1.0) -> None:
        super().__init__(temperature=temperature)
        self.bank_temperature, self.weight = bank_temperature, weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        large = (there(batch.teacher) @ there(batch.teacher_bank).T / self.bank_temperature).detach().log_softmax(dim=1)
        small = (v @ there(batch.bank).T / self.bank_temperature).log_softmax(dim=1)
        apart = (large.exp() * (large - small)).sum(dim=1).mean()
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "queue": self.weight * apart}
