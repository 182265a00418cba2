"""Every picture of a gallery as a negative, encoded once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import unit


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
