"""What a sentence-transformers folder applies to the pooled vector: linear layers and normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from rag.core.errors import MissingModel, SpecError
from retrievers.sentence_folder import DenseLayer

if TYPE_CHECKING:
    from torch import Tensor


def load_step(step: DenseLayer | Literal["normalise"]) -> Callable[[Tensor], Tensor]:
    """float32 [n, in] -> float32 [n, out], on the device that the encoder runs on."""
    import torch

    from retrievers.transformer import device

    if step == "normalise":
        return lambda vectors: torch.nn.functional.normalize(vectors, dim=-1)
    linear = torch.nn.Linear(step.in_features, step.out_features, bias=step.bias)
    try:
        linear.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in _weights(step).items()})
    except RuntimeError as cause:
        raise SpecError(f"{step.path}: its weights are not those that config.json promises ({cause})") from cause
    activation = getattr(torch.nn, step.activation)()
    return torch.nn.Sequential(linear, activation).eval().float().to(device())


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
