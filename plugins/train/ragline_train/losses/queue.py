"""A small tower learns how a large one sees a gallery."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch


class Queue(Loss):
    """KL of the large tower's shares of a bank to the small tower's, in media `v`; and InfoNCE of the small tower.

    Both towers see the same items of the bank, each by its own vectors.
    """

    source = "ISA (asymmetric towers), without its alignment of pseudo words"
    needs = ("teacher", "teacher_bank", "bank")

    def __init__(self, *, temperature: float = 0.07, bank_temperature: float = 0.05, weight: float = 1.0) -> None:
        super().__init__(temperature=temperature)
        self.bank_temperature, self.weight = bank_temperature, weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        large = (there(batch.teacher) @ there(batch.teacher_bank).T / self.bank_temperature).detach().log_softmax(dim=1)
        small = (v @ there(batch.bank).T / self.bank_temperature).log_softmax(dim=1)
        apart = (large.exp() * (large - small)).sum(dim=1).mean()
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "queue": self.weight * apart}
