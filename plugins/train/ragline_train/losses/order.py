"""Negatives that only their own pair sees: the same words in another order, the same events turned round."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import similarities, surprise


class Order(Loss):
    """InfoNCE over the batch and all that is turned round in it: media see all turned texts, texts all turned media."""

    source = "TeminAL (arXiv 2408.09269), stage B"
    needs = ("text_negatives", "media_negatives")

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = similarities(v, t, temperature=self.temperature, groups=batch.groups)
        texts, media = there(batch.text_negatives).flatten(0, 1), there(batch.media_negatives).flatten(0, 1)
        forth = torch.cat([scores, v @ texts.T / self.temperature], dim=1)
        back = torch.cat([scores.T, t @ media.T / self.temperature], dim=1)
        return {"media_to_text": surprise(forth).mean() / 2, "text_to_media": surprise(back).mean() / 2}


class OwnNegatives(Loss):
    """InfoNCE in which each medium also sees the wrong texts that were made of its own caption, and no others' ones."""

    source = "CompA (ICLR 2024); what is hidden is minus infinity here, so that a negative similarity gains nothing"
    needs = ("text_negatives",)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = similarities(v, t, temperature=self.temperature, groups=batch.groups)
        own = torch.einsum("nd,nkd->nk", v, there(batch.text_negatives)) / self.temperature
        return {
            "media_to_text": surprise(torch.cat([scores, own], dim=1)).mean() / 2,
            "text_to_media": surprise(scores.T).mean() / 2,
        }
