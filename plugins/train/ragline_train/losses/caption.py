"""Towers that also write their captions, or draw what a caption hides."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ragline_train.losses.base import Batch, Loss, there, unit


class Captioning(Loss):
    """InfoNCE, and the surprise of each word of the caption, given those before it and the picture.

    What writes is small and taught with the towers: the mean of the words so far and the picture, through one layer.

    Args:
        n_words: how many words there are.
        dim: of the vectors.
        weight: of the words; CoCa has 2.
    """

    source = "CoCa (Yu et al., arXiv 2205.01917), with a writer of one layer"
    needs = ("word_ids", "word_mask")

    def __init__(self, *, n_words: int, dim: int, temperature: float = 0.07, weight: float = 2.0) -> None:
        super().__init__(temperature=temperature)
        self.weight = weight
        self.words = nn.Embedding(n_words + 1, dim)  # the last one begins a caption
        self.layer, self.out = nn.Linear(2 * dim, dim), nn.Linear(dim, n_words)

    def written(self, v: Tensor, word_ids: Tensor) -> Tensor:
        """Scores [n, w, words] of the word at each place, by the picture and the words before it."""
        begin = torch.full_like(word_ids[:, :1], self.words.num_embeddings - 1)
        before = self.words(torch.cat([begin, word_ids[:, :-1]], dim=1))
        counts = torch.arange(1, before.shape[1] + 1, device=v.device)[None, :, None]
        said = before.cumsum(dim=1) / counts
        states = torch.cat([said, v[:, None].expand_as(said)], dim=2)
        scores: Tensor = self.out(torch.nn.functional.gelu(self.layer(states)))
        return scores

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = self.written(v, there(batch.word_ids))[there(batch.word_mask)]
        contrast = self.contrast(v, t, batch.groups)
        return {
            "contrast": contrast,
            "words": self.weight * cross_entropy(scores, there(batch.word_ids)[there(batch.word_mask)]),
        }


class GuidedMask(Loss):
    """InfoNCE, and patches that a text looks at most, told from the text and the patches that are left.

    Args:
        dim: of the vectors.
        hidden: share of the patches that is hidden.
    """

    source = "SyCoCa; patches are told as vectors and not drawn"
    needs = ("patches",)

    def __init__(self, *, dim: int, temperature: float = 0.07, hidden: float = 0.5, weight: float = 1.0) -> None:
        super().__init__(temperature=temperature)
        self.hidden, self.weight = hidden, weight
        self.layer = nn.Linear(2 * dim, dim)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        patches = there(batch.patches)
        hidden = looked_at(patches, t, share=self.hidden)
        left = unit(patches.masked_fill(hidden[:, :, None], 0.0).sum(dim=1))
        told = unit(self.layer(torch.cat([left, t], dim=1)))
        apart = (1 - torch.einsum("npd,nd->np", patches, told))[hidden].mean()
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "hidden": self.weight * apart}


def looked_at(patches: Tensor, t: Tensor, *, share: float) -> Tensor:
    """bool [n, p]: the patches most like the text, `share` of them, at least one and never all. Takes no gradient."""
    n = patches.shape[1]
    most = min(max(1, round(share * n)), n - 1)
    best = torch.einsum("npd,nd->np", patches, t).detach().topk(most, dim=1).indices
    return torch.zeros(patches.shape[:2], dtype=torch.bool, device=patches.device).scatter_(1, best, True)
