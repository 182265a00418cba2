"""The contrastive loss that all others are held against, and its sum over several sides."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ragline_train.losses.base import Loss
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import both_ways, similarities, surprise


class InfoNCE(Loss):
    """share * CE(v t' / T) + (1 - share) * CE(t v' / T).

    Args:
        temperature: T.
        share: of the way from media to text; ConVIRT has .75.
    """

    source = "ConVIRT (Zhang et al., arXiv 2010.00747)"

    def __init__(self, *, temperature: float = 0.07, share: float = 0.5) -> None:
        super().__init__(temperature=temperature)
        self.share = share

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = similarities(v, t, temperature=self.temperature, groups=batch.groups)
        return {
            "media_to_text": self.share * surprise(scores).mean(),
            "text_to_media": (1 - self.share) * surprise(scores.T).mean(),
        }


class Anchored(Loss):
    """InfoNCE of every side with the text, which is the anchor between sides that were never paired.

    A pair that lacks a side has no part in that side's term.
    """

    source = "MoRE (signals and pictures anchored by reports); CoAVT without its terms of matching and writing"
    needs = ("others",)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        groups = batch.groups
        found = {"media": both_ways(similarities(v, t, temperature=self.temperature, groups=groups)).mean()}
        for name, other in batch.others.items():
            there = other.there
            if int(there.sum()) > 1:
                own = None if groups is None else groups[there]
                scores = similarities(other.vectors[there], t[there], temperature=self.temperature, groups=own)
                found[name] = both_ways(scores).mean()
        return found
