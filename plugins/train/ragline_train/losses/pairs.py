"""Pairs of media and texts: the contrastive loss that all others are held against, and what pairs weigh and are moved by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Batch, Loss, both_ways, similarities, surprise, there, unit


class InfoNCE(Loss):
    """share * CE(v t' / T) + (1 - share) * CE(t v' / T).

    Args:
        temperature: T.
        share: of the way from media to text; ConVIRT has .75.
    """

    source = "ConVIRT (Zhang et al., arXiv 2010.00747)"

    def __init__(self, *, temperature: float = 0.07, share: float = 0.5) -> None:
        super().__init__(temperature=temperature)
        self.share = share

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        scores = similarities(v, t, temperature=self.temperature, groups=batch.groups)
        return {
            "media_to_text": self.share * surprise(scores).mean(),
            "text_to_media": (1 - self.share) * surprise(scores.T).mean(),
        }


class Anchored(Loss):
    """InfoNCE of every side with the text, which is the anchor between sides that were never paired.

    A pair that lacks a side has no part in that side's term.
    """

    source = "MoRE (signals and pictures anchored by reports); CoAVT without its terms of matching and writing"
    needs = ("others",)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        groups = batch.groups
        found = {"media": both_ways(similarities(v, t, temperature=self.temperature, groups=groups)).mean()}
        for name, other in batch.others.items():
            there = other.there
            if int(there.sum()) > 1:
                own = None if groups is None else groups[there]
                scores = similarities(other.vectors[there], t[there], temperature=self.temperature, groups=own)
                found[name] = both_ways(scores).mean()
        return found


_SHARP = 2.0
_STEP = 0.01


class Gated(Loss):
    """InfoNCE with the text and with a second caption, each pair weighted.

    A pair weighs min(1, exp(2 (t.c - m))), where m is the running mean of t.c. Where that is below 1, the text weighs
    exp(2 (v.t - m_t)) on top, and the caption exp(2 (v.c - m_c)). Running means begin at 1 and take a hundredth of each batch.
    No gradient goes through a weight.
    """

    source = "ALIP (Yang et al., ICCV 2023)"
    needs = ("captions",)

    def __init__(self, *, temperature: float = 0.07) -> None:
        super().__init__(temperature=temperature)
        self.means: Tensor
        self.register_buffer("means", torch.ones(3))

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        c = there(batch.captions)
        with torch.no_grad():
            agree = [(a * b).sum(dim=1) for a, b in ((t, c), (v, t), (v, c))]
            pair, text, caption = (
                torch.exp(_SHARP * (each - mean)) for each, mean in zip(agree, self.means, strict=True)
            )
            doubted = pair < 1
            pair = pair.clamp(max=1)
            text, caption = (torch.where(doubted, each, torch.ones_like(each)) for each in (text, caption))
            if self.training:
                now = torch.stack([each.mean() for each in agree]).to(self.means)
                self.means += _STEP * (now - self.means)
        by_text = both_ways(similarities(v, t, temperature=self.temperature, groups=batch.groups))
        by_caption = both_ways(similarities(v, c, temperature=self.temperature, groups=batch.groups))
        return {"text": (pair * text * by_text).mean(), "caption": (pair * caption * by_caption).mean()}


class Rewritten(Loss):
    """InfoNCE with, for each pair, the one of its text and its second caption that is nearer to the medium.

    Which is nearer takes no gradient.
    """

    source = "CLIP with quality captions; captions are chosen from two and not written anew"
    needs = ("captions",)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        nearer = ((v * there(batch.captions)).sum(dim=1) > (v * t).sum(dim=1)).detach()
        chosen = torch.where(nearer[:, None], there(batch.captions), t)
        return {"contrast": self.contrast(v, chosen, batch.groups)}


_LEAST_ANGLE = 1e-3


def between(v: Tensor, t: Tensor, share: float) -> Tensor:
    """[n, d]: points on the shortest way from each v (share 0) to its t (share 1), of length 1.

    sin((1 - share) a) / sin a * v + sin(share a) / sin a * t, where a is the angle between them.
    """
    cosine = (v * t).sum(dim=1, keepdim=True)
    limit = float(torch.cos(torch.tensor(_LEAST_ANGLE, dtype=torch.float64)))
    angle = torch.arccos(cosine.clamp(-limit, limit))
    return unit(torch.sin((1 - share) * angle) * v + torch.sin(share * angle) * t)


class Mixup(Loss):
    """InfoNCE, and the same with the other columns taken from mixtures: v against m, and t against m, where the own column
    stays v.t. The mixed term weighs less as training goes on.

    Args:
        temperature: of InfoNCE.
        mixed_temperature: of the mixed terms.
        weight: of the mixed terms in the first epoch; in epoch e it is divided by e.
        epochs: how many epochs the training counts as.
    """

    source = "Geodesic multi-modal mixup (Oh et al., NeurIPS 2023), without its mixtures of two pairs"

    def __init__(
        self, *, temperature: float = 0.07, mixed_temperature: float = 0.07, weight: float = 0.01, epochs: int = 9
    ) -> None:
        super().__init__(temperature=temperature)
        self.mixed_temperature = mixed_temperature
        self.weight, self.epochs = weight, epochs

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        share = batch.mix if batch.mix is not None else float(torch.distributions.Beta(0.5, 0.5).sample())
        mixed = between(v, t, share)
        own = (v * t).sum(dim=1) / self.mixed_temperature
        eye = torch.eye(len(own), dtype=torch.bool, device=own.device)
        hard = [torch.where(eye, own[:, None], side @ mixed.T / self.mixed_temperature) for side in (v, t)]
        epoch = 1 + int(batch.progress * self.epochs)
        contrast = self.contrast(v, t, batch.groups)
        return {
            "contrast": contrast,
            "mixed": self.weight / epoch * (surprise(hard[0]).mean() + surprise(hard[1]).mean()) / 2,
        }


class Adversarial(Loss):
    """InfoNCE, and the same of media that are moved by `reach` along the gradient of InfoNCE, then brought to length 1.

    The direction takes no gradient.
    """

    source = "PBadv, by its perturbed features; its classes of attributes and things are left out"

    def __init__(self, *, temperature: float = 0.07, reach: float = 0.1, weight: float = 1.0) -> None:
        super().__init__(temperature=temperature)
        self.reach, self.weight = reach, weight

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        with torch.enable_grad():
            start = v.detach().requires_grad_()
            [slope] = torch.autograd.grad(self.contrast(start, t.detach(), batch.groups), start)
        moved = unit(v + self.reach * unit(slope))
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "moved": self.weight * self.contrast(moved, t, batch.groups)}


Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Noisy vectors [n, d], what is left of the signal [n, 1], texts [n, d] -> the noise in them, [n, d]."""


def gaussian_denoiser(spread: float) -> Denoiser:
    """The exact denoiser where pictures of a text lie around the text's vector, `spread` apart in each direction.

    For x = sqrt(a) x0 + sqrt(1 - a) e with x0 ~ N(t, spread^2), E[e | x] = sqrt(1 - a) (x - sqrt(a) t) / (1 - a + a spread^2).
    """

    def noise(noisy: Tensor, left: Tensor, t: Tensor) -> Tensor:
        return (1 - left).sqrt() * (noisy - left.sqrt() * t) / (1 - left + left * spread**2)

    return noise


class Score(Loss):
    """InfoNCE, and the squared error of a frozen denoiser that is told the text, for noise that is put onto `v`.

    Args:
        denoiser: what knows which pictures a text has.
        weight: of the error.
        seed: of noise and times.
    """

    source = "SDS-CLIP; its denoiser is a text-to-image model, the one here is exact for a bed of Gaussians"

    def __init__(
        self, *, denoiser: Denoiser | None = None, temperature: float = 0.07, weight: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__()
        self.denoiser = denoiser or gaussian_denoiser(0.1)
        self.temperature, self.weight = temperature, weight
        self.drawing = torch.Generator().manual_seed(seed)

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        noise = torch.randn(v.shape, generator=self.drawing).to(v)
        left = torch.rand(len(v), 1, generator=self.drawing).to(v).clamp(0.02, 0.98)
        noisy = left.sqrt() * v + (1 - left).sqrt() * noise
        error = (noise - self.denoiser(noisy, left, t)).square().mean(dim=1)
        contrast = self.contrast(v, t, batch.groups)
        return {"contrast": contrast, "score": self.weight * error.mean()}
