"""Media of one class within an angle of its centre."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import unit

_NEAR = 1e-6


class Margin(Loss):
    """Softmax over centres of classes, where the own one has to be nearer by an angle: CE(s cos(a + m)).

    It is the first of two stages; the second brings the texts to frozen media by InfoNCE. Where the batch has captions, they
    are held to the same centres, as pseudo captions of the class.

    Args:
        n_classes: how many there are.
        dim: of the vectors.
        angle: m, in radians.
        scale: s.
    """

    source = "2SFT and MCIP (arXiv 2409.01936), first stage; the margin is ArcFace's (Deng et al., CVPR 2019)"
    needs = ("classes",)

    def __init__(self, *, n_classes: int, dim: int, angle: float = 0.3, scale: float = 16.0) -> None:
        super().__init__()
        self.angle, self.scale = angle, scale
        self.centres = nn.Parameter(unit(torch.randn(n_classes, dim, generator=torch.Generator().manual_seed(0))))

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        found = {"media": self._margin(v, there(batch.classes))}
        if batch.captions is not None:
            found["captions"] = self._margin(there(batch.captions), there(batch.classes))
        return found

    def _margin(self, vectors: Tensor, classes: Tensor) -> Tensor:
        cosines = (vectors @ unit(self.centres).T).clamp(-1 + _NEAR, 1 - _NEAR)
        own = nn.functional.one_hot(classes, cosines.shape[1]).bool()
        held = torch.where(own, torch.cos(torch.arccos(cosines) + self.angle), cosines)
        return cross_entropy(self.scale * held, classes)
