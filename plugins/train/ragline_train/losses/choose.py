"""Which item a person is to label next, so that no class is left out. No loss: it chooses what a loss will see."""

from __future__ import annotations

import random
from collections.abc import Sequence


def next_to_label(predicted: Sequence[int], labelled: Sequence[int], *, n_classes: int, drawn: random.Random) -> int:
    """The place of an item that is predicted to be of the class with fewest labels, drawn among those; of equal classes the
    lower one. An item of any class where no item is predicted to be of it (PCB, Bang et al.).

    Args:
        predicted: for each item without a label, its class as a model sees it.
        labelled: classes of the labels that there are.
        n_classes: how many classes there are.
        drawn: what is drawn by.

    Raises:
        ValueError: nothing is left to label.
    """
    if not predicted:
        raise ValueError("next_to_label: nothing is left to label")
    counts = [labelled.count(each) for each in range(n_classes)]
    rarest = min(range(n_classes), key=counts.__getitem__)
    among = [place for place, each in enumerate(predicted) if each == rarest]
    return drawn.choice(among or range(len(predicted)))
