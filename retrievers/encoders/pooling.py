"""Token vectors -> one vector per text: what sentence-transformers folders name, pooling modes and layers after them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rag.core.errors import MissingModel, SpecError
from retrievers.encoders.sentence_folder import DenseLayer

if TYPE_CHECKING:
    from torch import Tensor


def pool(hidden: Tensor, lengths: Tensor, modes: Sequence[str], *, skip: int | Tensor = 0) -> Tensor:
    """Pool right-padded token vectors; several modes are concatenated in order.

    Args:
        hidden: float32 [n_texts, n_tokens, width].
        lengths: int64 [n_texts], tokens of each text, at least 1.
        modes: names of `retrievers.encoders.sentence_folder.POOLING_MODES`.
        skip: leading tokens that do not count, those of a prompt: as many of every text, or int64 [n_texts]. Positions
            still count from the first token.
    Returns:
        float32 [n_texts, width * number of modes].
    """
    import torch

    positions = torch.arange(hidden.shape[1], device=hidden.device)
    skipped = skip[:, None] if isinstance(skip, torch.Tensor) else skip
    kept = (positions < lengths[:, None]) & (positions >= skipped)
    return torch.cat([_POOLS[mode](hidden, kept) for mode in modes], dim=-1)


def load_step(step: DenseLayer | Literal["normalise"]) -> Callable[[Tensor], Tensor]:
    """What is applied to pooled vectors, float32 [n, in] -> [n, out], on the device that the encoder runs on."""
    import torch

    from retrievers.encoders.transformer import device

    if step == "normalise":
        return lambda vectors: torch.nn.functional.normalize(vectors, dim=-1)
    linear = torch.nn.Linear(step.in_features, step.out_features, bias=step.bias)
    try:
        linear.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in _weights(step).items()})
    except RuntimeError as cause:
        raise SpecError(f"{step.path}: its weights are not those that config.json promises ({cause})") from cause
    activation = getattr(torch.nn, step.activation)()
    return torch.nn.Sequential(linear, activation).eval().float().to(device())


def _cls(hidden: Tensor, kept: Tensor) -> Tensor:
    return _one_per_text(hidden, kept.int().argmax(dim=1))


def _lasttoken(hidden: Tensor, kept: Tensor) -> Tensor:
    n_tokens = kept.shape[1]
    return _one_per_text(hidden, n_tokens - 1 - kept.int().flip(1).argmax(dim=1))


def _one_per_text(hidden: Tensor, positions: Tensor) -> Tensor:
    import torch

    return hidden[torch.arange(len(hidden), device=hidden.device), positions]


def _max(hidden: Tensor, kept: Tensor) -> Tensor:
    # A text that is nothing but prompt keeps no token: zeros, as its mean is.
    pooled = hidden.masked_fill(~kept[..., None], float("-inf")).amax(dim=1)
    return pooled.masked_fill(~kept.any(dim=1, keepdim=True), 0.0)


def _mean(hidden: Tensor, kept: Tensor) -> Tensor:
    return _weighted_sum(hidden, kept) / kept.sum(dim=1, keepdim=True).clamp(min=1)


def _mean_sqrt_len(hidden: Tensor, kept: Tensor) -> Tensor:
    return _weighted_sum(hidden, kept) / kept.sum(dim=1, keepdim=True).clamp(min=1).sqrt()


def _weightedmean(hidden: Tensor, kept: Tensor) -> Tensor:
    """Token i, from 1, weighs i (Muennighoff, SGPT, 2022, equation 2)."""
    import torch

    weights = kept * torch.arange(1, kept.shape[1] + 1, device=kept.device)
    return _weighted_sum(hidden, weights) / weights.sum(dim=1, keepdim=True).clamp(min=1)


def _weighted_sum(hidden: Tensor, weights: Tensor) -> Tensor:
    return (weights[:, None].to(hidden.dtype) @ hidden).squeeze(1)


_POOLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weightedmean,
    "lasttoken": _lasttoken,
}


def _weights(layer: DenseLayer) -> dict[str, Any]:
    import torch
    from safetensors.torch import load_file

    safe, old = layer.path / "model.safetensors", layer.path / "pytorch_model.bin"
    if safe.is_file():
        return load_file(safe)
    if old.is_file():
        # Tensors only: with weights_only nothing in the file can run.
        weights: dict[str, Any] = torch.load(old, map_location="cpu", weights_only=True)
        return weights
    raise MissingModel(f"model folder '{layer.path}' has no model.safetensors")
