"""Negatives by what they are, for questions that want a picture, or want a text, and find both."""

from __future__ import annotations

import torch
from torch import Tensor

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
    far = _ranks(scores) >= deep
    own = (kinds[None, :] == wanted[:, None]) & ~right & far
    if int(other.sum(dim=1).min()) < half or int(own.sum(dim=1).min()) < n - half:
        raise ValueError(f"negatives_by_kind: the gallery has not {n} negatives for each question; lower n or deep")
    above = other & (scores > scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True))
    drawn = torch.rand(scores.shape, generator=drawing)
    by_kind = torch.where(above, 1 + drawn, _squeezed(scores)).masked_fill(~other, -torch.inf)
    return torch.cat([by_kind.topk(half).indices, drawn.masked_fill(~own, -torch.inf).topk(n - half).indices], dim=1)


def _ranks(scores: Tensor) -> Tensor:
    """[q, m]: the rank of each item for each question, from 0."""
    return scores.argsort(dim=1, descending=True).argsort(dim=1)


def _squeezed(scores: Tensor) -> Tensor:
    """In the same order, below 1."""
    return torch.sigmoid(scores)
