"""Captions first, then questions that are a picture and an instruction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from ragline_train.losses.base import Loss
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import both_ways, similarities


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
