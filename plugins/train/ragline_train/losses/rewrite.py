"""Better captions in the place of noisy ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch


class Rewritten(Loss):
    """InfoNCE with, for each pair, the one of its text and its second caption that is nearer to the medium.

    Which is nearer takes no gradient.
    """

    source = "CLIP with quality captions; captions are chosen from two and not written anew"
    needs = ("captions",)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        nearer = ((v * there(batch.captions)).sum(dim=1) > (v * t).sum(dim=1)).detach()
        chosen = torch.where(nearer[:, None], there(batch.captions), t)
        return {"contrast": self.contrast(v, chosen, batch.groups)}
