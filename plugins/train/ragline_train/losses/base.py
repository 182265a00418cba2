"""What all losses are, what they may know of some pairs, and what several of them are made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize


def similarities(v: Tensor, t: Tensor, *, temperature: float, groups: Tensor | None = None) -> Tensor:
    """[n, n]: of each of `v` to each of `t`, over the temperature; minus infinity for others of one group."""
    return without_group(v @ t.T / temperature, groups)


def without_group(scores: Tensor, groups: Tensor | None) -> Tensor:
    """Scores [n, n] in which others of the own group are hidden."""
    if groups is None:
        return scores
    same = groups[:, None] == groups[None, :]
    return scores.masked_fill(same & ~torch.eye(len(groups), dtype=torch.bool, device=scores.device), -torch.inf)


def surprise(scores: Tensor) -> Tensor:
    """[n]: minus the log of the share that the softmax of each row gives to its own column. Scores: [n, m], m >= n."""
    return cross_entropy(scores, torch.arange(len(scores), device=scores.device), reduction="none")


def both_ways(scores: Tensor) -> Tensor:
    """[n]: mean surprise of a pair, by its row and by its column. Scores: [n, n]."""
    return (surprise(scores) + surprise(scores.T)) / 2


def unit(vectors: Tensor) -> Tensor:
    """The vectors, of length 1."""
    return normalize(vectors, dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A further side of the pairs, such as a signal. `there`: bool [n], which pairs have it; vectors of the others are not
    looked at."""

    vectors: Tensor
    there: Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Of n pairs in a space of d numbers. A loss says which of these it needs, and refuses a batch without them.

    All vectors are float and of length 1, unless a loss says otherwise. What is to be taught has gradients, what is frozen
    has none.
    """

    groups: Tensor | None = None
    """int [n]: pairs of one group are no negatives of each other, as two pictures with one caption are not."""
    classes: Tensor | None = None
    """int [n]: of a metric loss, from 0."""
    captions: Tensor | None = None
    """[n, d]: a second text of each pair."""
    others: Mapping[str, Other] = field(default_factory=dict)
    """Further sides, by name."""
    patches: Tensor | None = None
    """[n, p, d]: parts of the picture."""
    words: Tensor | None = None
    """[n, w, d]: tokens of the text, filled up at the end."""
    word_mask: Tensor | None = None
    """bool [n, w]: which of them are any."""
    word_ids: Tensor | None = None
    """int [n, w]: which word each is, for a loss that writes them."""
    attention: Tensor | None = None
    """[n, p]: how much a frozen picture tower looks at each patch."""
    bank: Tensor | None = None
    """[m, d]: frozen vectors of a whole gallery."""
    targets: Tensor | None = None
    """int [n]: which row of the bank is right."""
    hidden: Tensor | None = None
    """bool [n, m]: rows of the bank that are not looked at: the reference itself, and copies of the target."""
    teacher: Tensor | None = None
    """[n, e]: what a larger frozen tower says of the same items."""
    teacher_bank: Tensor | None = None
    """[m, e]: what it says of the bank's items."""
    pseudo: Tensor | None = None
    """[n, d]: a text that is nothing but the picture's pseudo word."""
    references: Tensor | None = None
    """[n, d]: frozen captions of the reference pictures."""
    composed: Tensor | None = None
    """[n, d]: questions of a picture and an instruction."""
    composed_targets: Tensor | None = None
    """[n, d]: captions of what they ask for."""
    text_negatives: Tensor | None = None
    """[n, k, d]: texts that are wrong for the own picture, such as the caption with its order turned round."""
    media_negatives: Tensor | None = None
    """[n, k, d]: media that are wrong for the own text."""
    has: Tensor | None = None
    """bool [n, a]: which attributes a picture has."""
    attributes: Tensor | None = None
    """[a, d]: texts of the attributes."""
    block: Tensor | None = None
    """int [n]: the patch where the text's thing is."""
    boxes: Tensor | None = None
    """[n, 4]: where it is, as left, top, right, bottom, shares of the picture."""
    boxes_said: Tensor | None = None
    """[n, 4]: where a head of the tower says it is."""
    gates: Tensor | None = None
    """[n, e]: shares of a picture that go to each expert."""
    progress: float = 0.0
    """Share of the training that is over, 0 to 1."""
    mix: float | None = None
    """Share of the text in a mixture; None draws it."""


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
