"""Questions that are a picture and what is to be changed in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ragline_train.losses.base import Batch, Loss, both_ways, similarities, surprise, there, unit


class Bank(Loss):
    """Cross entropy of the target among a bank of frozen media, for questions of a reference `v` and an edit `t`: unit(v + t).

    Rows of the bank that are hidden from a question are not looked at. The target may not be one of them.
    """

    source = "SPN4CIR (static negatives), second stage"
    needs = ("bank", "targets")

    def __init__(self, *, temperature: float = 0.02) -> None:
        super().__init__(temperature=temperature)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = unit(v + t) @ there(batch.bank).T / self.temperature
        if batch.hidden is not None:
            if bool(batch.hidden.gather(1, there(batch.targets)[:, None]).any()):
                raise ValueError(
                    "Bank: a question's target is hidden from it. Hide the reference and copies of the target"
                )
            scores = scores.masked_fill(batch.hidden, -torch.inf)
        return {"bank": torch.nn.functional.cross_entropy(scores, there(batch.targets))}


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


class Instruct(Loss):
    """InfoNCE of media and captions in the first stage; in the second also of composed questions and what they ask for.

    Args:
        stage: `both` gives the first half of the training to the first stage.
    """

    source = "InstructCIR, by its two stages; the tower is not a language model that sees"

    def __init__(self, *, temperature: float = 0.07, stage: Literal["first", "second", "both"] = "both") -> None:
        super().__init__(temperature=temperature)
        self.stage = stage

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        found = {"captions": self.contrast(v, t, batch.groups)}
        if self.stage == "first" or (self.stage == "both" and batch.progress < 0.5):
            return found
        if batch.composed is None or batch.composed_targets is None:
            raise ValueError("Instruct: the second stage needs composed and composed_targets, and the batch lacks them")
        scores = similarities(batch.composed, batch.composed_targets, temperature=self.temperature)
        return found | {"instructions": both_ways(scores).mean()}
