"""Negatives that are made, or chosen: the same words in another order, the same events turned round, items of another kind."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Batch, Loss, similarities, surprise, there


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


DEEP = 45
"""Rank from which on an item of the right kind is wrong for sure."""


def negatives_by_kind(
    scores: Tensor, right: Tensor, kinds: Tensor, wanted: Tensor, *, n: int, drawing: torch.Generator, deep: int = DEEP
) -> Tensor:
    """int [q, n]: for each question rows of a mixed gallery that are wrong, half of them for what they are (MM-Embed: Lin et
    al., ICLR 2025, section 4.2).

    Of the wrong kind, and ranked above the right item; and of the wanted kind, behind rank `deep`. Where there are not enough
    of the first, the best of the wrong kind behind the right item are taken.

    Args:
        scores: [q, m], of the model that is to be taught.
        right: bool [q, m], the right items, which are never negatives.
        kinds: int [m], what each item is. wanted: int [q], what each question wants.

    Raises:
        ValueError: the gallery has fewer items of a kind than are to be drawn.
    """
    half = n // 2
    other = (kinds[None, :] != wanted[:, None]) & ~right
    far = scores.argsort(dim=1, descending=True).argsort(dim=1) >= deep  # ranks, from 0
    own = (kinds[None, :] == wanted[:, None]) & ~right & far
    if int(other.sum(dim=1).min()) < half or int(own.sum(dim=1).min()) < n - half:
        raise ValueError(f"negatives_by_kind: the gallery has not {n} negatives for each question; lower n or deep")
    above = other & (scores > scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True))
    drawn = torch.rand(scores.shape, generator=drawing)
    by_kind = torch.where(above, 1 + drawn, torch.sigmoid(scores)).masked_fill(~other, -torch.inf)
    return torch.cat([by_kind.topk(half).indices, drawn.masked_fill(~own, -torch.inf).topk(n - half).indices], dim=1)
