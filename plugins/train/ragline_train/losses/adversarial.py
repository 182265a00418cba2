"""Vectors pushed to where the loss is larger, and held there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import unit


class Adversarial(Loss):
    """InfoNCE, and the same of media that are moved by `reach` along the gradient of InfoNCE, then brought to length 1.

    The direction takes no gradient.
    """

    source = "PBadv, by its perturbed features; its classes of attributes and things are left out"

    def __init__(self, *, temperature: float = 0.07, reach: float = 0.1, weight: float = 1.0) -> None:
        super().__init__(temperature=temperature)
        self.reach, self.weight = reach, weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        with torch.enable_grad():
            start = v.detach().requires_grad_()
            [slope] = torch.autograd.grad(self.contrast(start, t.detach(), batch.groups), start)
        moved = unit(v + self.reach * unit(slope))
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "moved": self.weight * self.contrast(moved, t, batch.groups)}
