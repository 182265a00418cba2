"""Half of a picture is enough, if it is the half that is looked at."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import unit


class Masking(Loss):
    """InfoNCE of texts with pictures that are the mean of their patches most looked at, in the mean over two views.

    The first view has the `kept` share by attention. The second has as many, drawn by attention as a chance.

    Args:
        kept: share of the patches.
        seed: of the second view.
    """

    source = "A-CLIP, without its self-supervised term; the attention is that of a frozen tower"
    needs = ("patches", "attention")

    def __init__(self, *, temperature: float = 0.07, kept: float = 0.5, seed: int = 0) -> None:
        super().__init__(temperature=temperature)
        self.kept = kept
        self.drawing = torch.Generator().manual_seed(seed)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        n = max(1, round(self.kept * there(batch.patches).shape[1]))
        best = there(batch.attention).topk(n, dim=1).indices
        shares = there(batch.attention).detach().float().softmax(dim=1).cpu()
        drawn = torch.multinomial(shares, n, generator=self.drawing).to(best.device)
        return {name: self._view(batch, t, places) for name, places in (("best", best), ("drawn", drawn))}

    def _view(self, batch: Batch, t: Tensor, places: Tensor) -> Tensor:
        kept = there(batch.patches).gather(1, places[:, :, None].expand(-1, -1, there(batch.patches).shape[2]))
        pooled = unit(kept.mean(dim=1))
        return self.contrast(pooled, t, batch.groups) / 2
