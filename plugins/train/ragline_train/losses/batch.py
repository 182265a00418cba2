"""What a loss may know of some pairs, beside a vector of each side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


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
