"""Parts of pictures: which part has an attribute, what a text describes, and where it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ragline_train.losses.base import Loss, there
from ragline_train.losses.batch import Batch
from ragline_train.losses.contrast import unit


class AttributeRegions(Loss):
    """Each picture with an attribute against all pictures without it, by the part that has most of it, told by what whole
    pictures have: `max over parts of unit(P_a part) . attribute / T`. Each attribute has a projection P_a of its own.

    Args:
        n_attributes: how many.
        dim: of the vectors. Projections begin as the identity.
    """

    source = "ViLLA (ICCV 2023), first stage; cells that are hidden have no part in the denominator"
    needs = ("patches", "has", "attributes")

    def __init__(self, *, n_attributes: int, dim: int, temperature: float = 0.07) -> None:
        super().__init__(temperature=temperature)
        self.projections = nn.Parameter(torch.eye(dim).repeat(n_attributes, 1, 1))

    def region_scores(self, patches: Tensor, attributes: Tensor) -> Tensor:
        """[n, p, a]: of each part to each attribute."""
        return torch.einsum("npad,ad->npa", unit(torch.einsum("ade,npe->npad", self.projections, patches)), attributes)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = self.region_scores(there(batch.patches), there(batch.attributes)).amax(dim=1) / self.temperature
        found = [
            torch.logsumexp(torch.cat([own[None], scores[~has, place]]), dim=0) - own
            for place, has in enumerate(there(batch.has).T)
            for own in scores[has, place]
        ]
        return {"attributes": torch.stack(found).mean() if found else v.new_zeros(())}


class RegionDescriptions(Loss):
    """InfoNCE of whole pictures and texts, of regions and their descriptions (`composed`, `composed_targets`), and where a
    head says that a region is: the distance of its sides, and one less how much both boxes share (generalised).
    """

    source = "GRAIN; regions and descriptions come matched, so its matching is left out"
    needs = ("composed", "composed_targets", "boxes", "boxes_said")

    def __init__(self, *, temperature: float = 0.07, region_weight: float = 1.0, box_weight: float = 1.0) -> None:
        super().__init__(temperature=temperature)
        self.region_weight, self.box_weight = region_weight, box_weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        whole = self.contrast(v, t, batch.groups)
        regions = self.contrast(there(batch.composed), there(batch.composed_targets))
        sides = (there(batch.boxes) - there(batch.boxes_said)).abs().sum(dim=1).mean()
        shared = (1 - shared_area(there(batch.boxes_said), there(batch.boxes))).mean()
        return {
            "contrast": whole,
            "regions": self.region_weight * regions,
            "boxes": self.box_weight * (sides + shared),
        }


class Blocks(Loss):
    """InfoNCE, and which patch of a grid a text's thing is in, by the similarity of each patch to the text."""

    source = "PTP; the block is chosen by similarity in place of a written prompt"
    needs = ("patches", "block")

    def __init__(self, *, temperature: float = 0.07, weight: float = 1.0) -> None:
        super().__init__(temperature=temperature)
        self.weight = weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        where = torch.einsum("npd,nd->np", there(batch.patches), t) / self.temperature
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "blocks": self.weight * cross_entropy(where, there(batch.block))}


def shared_area(one: Tensor, other: Tensor) -> Tensor:
    """[n]: generalised intersection over union of boxes [n, 4] (left, top, right, bottom), from -1 to 1."""
    inner = (torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])).clamp(min=0)
    outer = torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])
    both, around = inner.prod(dim=1), outer.prod(dim=1).clamp(min=1e-9)
    union = (one[:, 2:] - one[:, :2]).prod(dim=1) + (other[:, 2:] - other[:, :2]).prod(dim=1) - both
    return both / union.clamp(min=1e-9) - (around - union) / around
