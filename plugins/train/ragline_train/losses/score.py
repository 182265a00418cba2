"""What a frozen model that draws from text thinks of a picture's vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ragline_train.losses.base import Loss
from ragline_train.losses.batch import Batch

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
