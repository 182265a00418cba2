"""Pictures and texts compared token by token."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import surprise, without_group


def token_scores(patches: Tensor, words: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Two ways to score [n pictures, m texts], from [n, p, d], [m, w, d] and bool [m, w].

    By patches: the mean over patches of the best word. By words: the mean over words of the best patch. What fills a text up
    is neither best nor counted.
    """
    pairs = torch.einsum("npd,mwd->nmpw", patches, words)
    by_patches = pairs.masked_fill(~word_mask[None, :, None, :], -torch.inf).amax(dim=3).mean(dim=2)
    best = pairs.amax(dim=2).masked_fill(~word_mask[None], 0.0)
    return by_patches, best.sum(dim=2) / word_mask.sum(dim=1).clamp(min=1)


class Tokenwise(Loss):
    """InfoNCE of each way with its own scores. The vectors of whole pictures and texts have no part in it."""

    source = "FILIP (Yao et al., arXiv 2111.07783)"
    needs = ("patches", "words", "word_mask")

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        by_patches, by_words = token_scores(there(batch.patches), there(batch.words), there(batch.word_mask))
        scores = without_group(by_patches / self.temperature, batch.groups)
        back = without_group(by_words.T / self.temperature, batch.groups)
        return {"media_to_text": surprise(scores).mean() / 2, "text_to_media": surprise(back).mean() / 2}
