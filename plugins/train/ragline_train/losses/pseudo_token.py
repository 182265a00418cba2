"""Questions of a picture and an edit, taught by texts alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import surprise


class PseudoToken(Loss):
    """Contrast over 2n texts: "[pseudo word] that [edit]" (`v`) is to land on the frozen caption of the target (`t`), and
    "[pseudo word]" alone on the frozen caption of the reference. So each question has what it began from as a negative.
    """

    source = "RTD (Byun et al.)"
    needs = ("pseudo", "references")

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        frozen = torch.cat([t, there(batch.references)]).detach()
        found = surprise(torch.cat([v, there(batch.pseudo)]) @ frozen.T / self.temperature)
        return {"composed": found[: len(v)].sum() / len(found), "pseudo": found[len(v) :].sum() / len(found)}
