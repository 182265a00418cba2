"""Parts of pictures and words of texts: compared, matched, hidden, read side by side; and where on a picture they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ragline_train.losses.base import Batch, Loss, both_ways, similarities, surprise, there, unit, without_group


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


def token_scores(patches: Tensor, words: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Two ways to score [n pictures, m texts], from [n, p, d], [m, w, d] and bool [m, w].

    By patches: the mean over patches of the best word. By words: the mean over words of the best patch. What fills a text up
    is neither best nor counted.
    """
    pairs = torch.einsum("npd,mwd->nmpw", patches, words)
    by_patches = pairs.masked_fill(~word_mask[None, :, None, :], -torch.inf).amax(dim=3).mean(dim=2)
    best = pairs.amax(dim=2).masked_fill(~word_mask[None], 0.0)
    return by_patches, best.sum(dim=2) / word_mask.sum(dim=1).clamp(min=1)


class Tokenwise(Loss):
    """InfoNCE of each way with its own scores. The vectors of whole pictures and texts have no part in it."""

    source = "FILIP (Yao et al., arXiv 2111.07783)"
    needs = ("patches", "words", "word_mask")

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        by_patches, by_words = token_scores(there(batch.patches), there(batch.words), there(batch.word_mask))
        scores = without_group(by_patches / self.temperature, batch.groups)
        back = without_group(by_words.T / self.temperature, batch.groups)
        return {"media_to_text": surprise(scores).mean() / 2, "text_to_media": surprise(back).mean() / 2}


class SmoothMatch(Loss):
    """InfoNCE whose right column is given 1 - e and the others e together, with e growing from 0 to `softest`; and one minus
    the mean similarity of words and the patches that are matched to them, no patch to two.

    The matching is the best one (by the Hungarian method) and takes no gradient; what is matched does. The schedule is ours:
    e grows evenly.
    """

    source = "LightCLIP, without its help of masked language modelling"
    needs = ("patches", "words", "word_mask")

    def __init__(self, *, temperature: float = 0.07, softest: float = 0.1, weight: float = 0.1) -> None:
        super().__init__(temperature=temperature)
        self.softest, self.weight = softest, weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = similarities(v, t, temperature=self.temperature)
        soft = self.softest * batch.progress
        smoothed = (smooth_surprise(scores, soft) + smooth_surprise(scores.T, soft)) / 2
        matched = [
            matched_similarity(patches, words[mask])
            for patches, words, mask in zip(
                there(batch.patches), there(batch.words), there(batch.word_mask), strict=True
            )
        ]
        return {"contrast": smoothed.mean(), "matched": self.weight * (1 - torch.stack(matched)).mean()}


def smooth_surprise(scores: Tensor, soft: float) -> Tensor:
    """[n]: cross entropy with 1 - soft for the own column and soft shared evenly by the others. Scores: [n, n]."""
    shares = torch.full_like(scores, soft / (len(scores) - 1)).fill_diagonal_(1 - soft)
    return -(shares * scores.log_softmax(dim=1)).sum(dim=1)


def matched_similarity(patches: Tensor, words: Tensor) -> Tensor:
    """Mean similarity of matched words and patches, [p, d] and [w, d]; of the fewer side all are matched. 0 without words."""
    from scipy.optimize import linear_sum_assignment

    if not len(words):
        return patches.new_zeros(())
    pairs = words @ patches.T
    rows, columns = linear_sum_assignment(pairs.detach().cpu().numpy(), maximize=True)
    return pairs[torch.as_tensor(rows), torch.as_tensor(columns)].mean()


class Masking(Loss):
    """InfoNCE of texts with pictures that are the mean of their patches most looked at, in the mean over two views.

    The first view has the `kept` share by attention. The second has as many, drawn by attention as a chance.

    Args:
        kept: share of the patches.
        seed: of the second view.
    """

    source = "A-CLIP, without its self-supervised term; the attention is that of a frozen tower"
    needs = ("patches", "attention")

    def __init__(self, *, temperature: float = 0.07, kept: float = 0.5, seed: int = 0) -> None:
        super().__init__(temperature=temperature)
        self.kept = kept
        self.drawing = torch.Generator().manual_seed(seed)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        n = max(1, round(self.kept * there(batch.patches).shape[1]))
        best = there(batch.attention).topk(n, dim=1).indices
        shares = there(batch.attention).detach().float().softmax(dim=1).cpu()
        drawn = torch.multinomial(shares, n, generator=self.drawing).to(best.device)
        return {name: self._view(batch, t, places) for name, places in (("best", best), ("drawn", drawn))}

    def _view(self, batch: Batch, t: Tensor, places: Tensor) -> Tensor:
        kept = there(batch.patches).gather(1, places[:, :, None].expand(-1, -1, there(batch.patches).shape[2]))
        pooled = unit(kept.mean(dim=1))
        return self.contrast(pooled, t, batch.groups) / 2


class Dtw(Loss):
    """InfoNCE of similarities of sequences: the best way through both that never turns back (dynamic time warping, softened).

    Args:
        softness: of the minimum over ways; 0.1 counts all but the worst.
    """

    source = "Sugar, its term of alignment; the kernel and the language model beside it are left out"
    needs = ("patches", "words", "word_mask")

    def __init__(self, *, temperature: float = 0.07, softness: float = 0.1) -> None:
        super().__init__(temperature=temperature)
        self.softness = softness

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = sequence_similarity(
            there(batch.patches), there(batch.words), there(batch.word_mask), softness=self.softness
        )
        return {"sequences": both_ways(without_group(scores / self.temperature, batch.groups)).mean()}


def sequence_similarity(patches: Tensor, words: Tensor, word_mask: Tensor, *, softness: float) -> Tensor:
    """[n, m]: one less the mean cost of the best way from the first to the last of both, for [n, p, d] and [m, w, d].

    The cost of a step is one less the cosine, and a way is as long as p + w - 1, so that long texts cost no more. Of texts of
    no words it is 1.
    """
    costs = 1 - torch.einsum("npd,mwd->pwnm", patches, words)
    n_patches, n_words, n, m = costs.shape
    steps = [row.unbind() for row in costs.unbind()]  # one by one, each step's gradient would be as large as all costs
    far = torch.full((n, m), torch.inf, dtype=costs.dtype, device=costs.device)
    row: list[Tensor] = [torch.zeros_like(far), *([far] * n_words)]
    for p in range(n_patches):
        new = [far]
        for w in range(n_words):
            ways = torch.stack([row[w], row[w + 1], new[w]])
            new.append(steps[p][w] + _soft_min(ways, softness))
        row = new
    ends = word_mask.sum(dim=1)
    table = torch.stack([torch.zeros_like(far), *row[1:]], dim=2)
    whole = table.gather(2, ends[None, :, None].expand(n, m, 1)).squeeze(2)
    return 1 - whole / (n_patches + ends - 1).clamp(min=1)


def _soft_min(ways: Tensor, softness: float) -> Tensor:
    """Over the first dimension; of infinities alone infinity."""
    if softness == 0:
        return ways.amin(dim=0)
    return -softness * torch.logsumexp(-ways / softness, dim=0)
