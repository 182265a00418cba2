"""Media of classes: pulled together, held within an angle of their centre, and which item is to be labelled next."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ragline_train.losses.base import Batch, Loss, there, unit


class Confusion(Loss):
    """InfoNCE, and the squared distance between media of two classes, in the mean over pairs of classes.

    Args:
        weight: of the distance; .01 to .1, above that all classes fall together.
    """

    source = "ECAML (energy confusion; the random pair of classes is replaced by the mean over all of the batch)"
    needs = ("classes",)

    def __init__(self, *, temperature: float = 0.07, weight: float = 0.05) -> None:
        super().__init__(temperature=temperature)
        self.weight = weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "confusion": self.weight * class_distance(v, there(batch.classes))}


def class_distance(v: Tensor, classes: Tensor) -> Tensor:
    """Mean over pairs of classes A and B of the mean of |v_i - v_j|^2 over i in A and j in B; 0 for one class.

    By E_A|v|^2 + E_B|v|^2 - 2 E_A v . E_B v, so that no pair of items is looked at.
    """
    _, own = torch.unique(classes, return_inverse=True)
    n = int(own.max()) + 1
    if n == 1:
        return v.new_zeros(())
    sizes = v.new_zeros(n).index_add_(0, own, v.new_ones(len(v)))
    centres = v.new_zeros(n, v.shape[1]).index_add_(0, own, v) / sizes[:, None]
    squares = v.new_zeros(n).index_add_(0, own, v.square().sum(dim=1)) / sizes
    apart = squares[:, None] + squares[None, :] - 2 * centres @ centres.T
    return (apart.sum() - apart.diagonal().sum()) / (n * (n - 1))


_NEAR = 1e-6


class Margin(Loss):
    """Softmax over centres of classes, where the own one has to be nearer by an angle: CE(s cos(a + m)).

    It is the first of two stages; the second brings the texts to frozen media by InfoNCE. Where the batch has captions, they
    are held to the same centres, as pseudo captions of the class.

    Args:
        n_classes: how many there are.
        dim: of the vectors.
        angle: m, in radians.
        scale: s.
    """

    source = "2SFT and MCIP (arXiv 2409.01936), first stage; the margin is ArcFace's (Deng et al., CVPR 2019)"
    needs = ("classes",)

    def __init__(self, *, n_classes: int, dim: int, angle: float = 0.3, scale: float = 16.0) -> None:
        super().__init__()
        self.angle, self.scale = angle, scale
        self.centres = nn.Parameter(unit(torch.randn(n_classes, dim, generator=torch.Generator().manual_seed(0))))

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        found = {"media": self._margin(v, there(batch.classes))}
        if batch.captions is not None:
            found["captions"] = self._margin(there(batch.captions), there(batch.classes))
        return found

    def _margin(self, vectors: Tensor, classes: Tensor) -> Tensor:
        cosines = (vectors @ unit(self.centres).T).clamp(-1 + _NEAR, 1 - _NEAR)
        own = nn.functional.one_hot(classes, cosines.shape[1]).bool()
        held = torch.where(own, torch.cos(torch.arccos(cosines) + self.angle), cosines)
        return cross_entropy(self.scale * held, classes)


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
