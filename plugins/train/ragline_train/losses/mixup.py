"""Hard negatives between a picture and its own text, on the sphere."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import surprise, unit

_LEAST_ANGLE = 1e-3


def between(v: Tensor, t: Tensor, share: float) -> Tensor:
    """[n, d]: points on the shortest way from each v (share 0) to its t (share 1), of length 1.

    sin((1 - share) a) / sin a * v + sin(share a) / sin a * t, where a is the angle between them.
    """
    cosine = (v * t).sum(dim=1, keepdim=True)
    limit = float(torch.cos(torch.tensor(_LEAST_ANGLE, dtype=torch.float64)))
    angle = torch.arccos(cosine.clamp(-limit, limit))
    return unit(torch.sin((1 - share) * angle) * v + torch.sin(share * angle) * t)


class Mixup(Loss):
    """InfoNCE, and the same with the other columns taken from mixtures: v against m, and t against m, where the own column
    stays v.t. The mixed term weighs less as training goes on.

    Args:
        temperature: of InfoNCE.
        mixed_temperature: of the mixed terms.
        weight: of the mixed terms in the first epoch; in epoch e it is divided by e.
        epochs: how many epochs the training counts as.
    """

    source = "Geodesic multi-modal mixup (Oh et al., NeurIPS 2023), without its mixtures of two pairs"

    def __init__(
        self, *, temperature: float = 0.07, mixed_temperature: float = 0.07, weight: float = 0.01, epochs: int = 9
    ) -> None:
        super().__init__(temperature=temperature)
        self.mixed_temperature = mixed_temperature
        self.weight, self.epochs = weight, epochs

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        share = batch.mix if batch.mix is not None else float(torch.distributions.Beta(0.5, 0.5).sample())
        mixed = between(v, t, share)
        own = (v * t).sum(dim=1) / self.mixed_temperature
        hard = [_own_column(side @ mixed.T / self.mixed_temperature, own) for side in (v, t)]
        epoch = 1 + int(batch.progress * self.epochs)
        contrast = self.contrast(v, t, batch.groups)
        return {
            "contrast": contrast,
            "mixed": self.weight / epoch * (surprise(hard[0]).mean() + surprise(hard[1]).mean()) / 2,
        }


def _own_column(scores: Tensor, own: Tensor) -> Tensor:
    return torch.where(torch.eye(len(own), dtype=torch.bool, device=own.device), own[:, None], scores)
