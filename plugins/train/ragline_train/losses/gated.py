"""Pairs weigh by how well their texts agree with each other, and with the picture."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import both_ways, similarities

_SHARP = 2.0
_STEP = 0.01


class Gated(Loss):
    """InfoNCE with the text and with a second caption, each pair weighted.

    A pair weighs min(1, exp(2 (t.c - m))), where m is the running mean of t.c. Where that is below 1, the text weighs
    exp(2 (v.t - m_t)) on top, and the caption exp(2 (v.c - m_c)). Running means begin at 1 and take a hundredth of each batch.
    No gradient goes through a weight.
    """

    source = "ALIP (Yang et al., ICCV 2023)"
    needs = ("captions",)

    def __init__(self, *, temperature: float = 0.07) -> None:
        super().__init__(temperature=temperature)
        self.means: Tensor
        self.register_buffer("means", torch.ones(3))

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        c = there(batch.captions)
        with torch.no_grad():
            agree = [(a * b).sum(dim=1) for a, b in ((t, c), (v, t), (v, c))]
            pair, text, caption = (
                torch.exp(_SHARP * (each - mean)) for each, mean in zip(agree, self.means, strict=True)
            )
            doubted = pair < 1
            pair = pair.clamp(max=1)
            text, caption = (torch.where(doubted, each, torch.ones_like(each)) for each in (text, caption))
            if self.training:
                now = torch.stack([each.mean() for each in agree]).to(self.means)
                self.means += _STEP * (now - self.means)
        by_text = both_ways(similarities(v, t, temperature=self.temperature, groups=batch.groups))
        by_caption = both_ways(similarities(v, c, temperature=self.temperature, groups=batch.groups))
        return {"text": (pair * text * by_text).mean(), "caption": (pair * caption * by_caption).mean()}
