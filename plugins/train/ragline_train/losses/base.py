"""What all losses are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import both_ways, similarities


class Loss(nn.Module):
    """`loss(v, t, batch)` -> the value that is to fall, and what each part of it came to, by name.

    `v`, `t`: float [n, d], row i of both a pair: media and text. `needs`: fields of the batch without which there is no
    loss. `temperature`: of its softmax. A loss of its own weights is taught with the towers.
    """

    source: ClassVar[str]
    """Paper, and what of it is left out."""
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature

    def contrast(self, v: Tensor, t: Tensor, groups: Tensor | None = None) -> Tensor:
        """InfoNCE both ways, alike."""
        return both_ways(similarities(v, t, temperature=self.temperature, groups=groups)).mean()

    def forward(self, v: Tensor, t: Tensor, batch: Batch | None = None) -> tuple[Tensor, dict[str, float]]:
        """Raises: ValueError for vectors that do not fit, or are not finite, or a batch that lacks something."""
        batch = batch or Batch()
        self._require(v, t, batch)
        parts = self.parts(v, t, batch)
        value = sum(parts.values(), start=v.new_zeros(()))
        return value, {name: float(part.detach()) for name, part in parts.items()}

    @abstractmethod
    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """The terms, by name, as they are added up."""

    def _require(self, v: Tensor, t: Tensor, batch: Batch) -> None:
        name = type(self).__name__
        if v.ndim != 2 or v.shape != t.shape:
            raise ValueError(f"{name}: vectors must be [n, d] on both sides, got {[*v.shape]} and {[*t.shape]}")
        if len(v) < 2:
            raise ValueError(f"{name}: {len(v)} pair has no negatives; a batch needs two")
        given = {each: vars(batch)[each] for each in self.needs}
        if lacking := [
            each for each, there in given.items() if there is None or (isinstance(there, dict) and not there)
        ]:
            raise ValueError(f"{name}: the batch has no {' and no '.join(lacking)}, which this loss is made of")
        sides = {f"others['{each}']": other.vectors[other.there] for each, other in batch.others.items()}
        tensors = {each: numbers for each, numbers in given.items() if isinstance(numbers, Tensor)}
        for each, numbers in {"v": v, "t": t, **tensors, **sides}.items():
            if numbers.is_floating_point() and not bool(numbers.isfinite().all()):
                raise ValueError(f"{name}: {each} holds numbers that are not finite. The step before went wrong")


def there(field: Tensor | None) -> Tensor:
    """A field of a batch that is one of the loss's `needs`, so that a batch without it was refused."""
    if field is None:
        raise ValueError("the loss lacks a field that it did not say it needs")
    return field
