"""Classes that were seen are pulled together a little, so that those that were not have room."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch


class Confusion(Loss):
    """InfoNCE, and the squared distance between media of two classes, in the mean over pairs of classes.

    Args:
        weight: of the distance; .01 to .1, above that all classes fall together.
    """

    source = "ECAML (energy confusion; the random pair of classes is replaced by the mean over all of the batch)"
    needs = ("classes",)

    def __init__(self, *, temperature: float = 0.07, weight: float = 0.05) -> None:
        super().__init__(temperature=temperature)
        self.weight = weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "confusion": self.weight * class_distance(v, there(batch.classes))}


def class_distance(v: Tensor, classes: Tensor) -> Tensor:
    """Mean over pairs of classes A and B of the mean of |v_i - v_j|^2 over i in A and j in B; 0 for one class.

    By E_A|v|^2 + E_B|v|^2 - 2 E_A v . E_B v, so that no pair of items is looked at.
    """
    _, own = torch.unique(classes, return_inverse=True)
    n = int(own.max()) + 1
    if n == 1:
        return v.new_zeros(())
    sizes = v.new_zeros(n).index_add_(0, own, v.new_ones(len(v)))
    centres = v.new_zeros(n, v.shape[1]).index_add_(0, own, v) / sizes[:, None]
    squares = v.new_zeros(n).index_add_(0, own, v.square().sum(dim=1)) / sizes
    apart = squares[:, None] + squares[None, :] - 2 * centres @ centres.T
    return (apart.sum() - apart.diagonal().sum()) / (n * (n - 1))
