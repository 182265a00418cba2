"""Sparse differences of weights: added to those that they were made of, and taken away again to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rag.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What is added to some weights of a model.

    Args:
        base: digest of the weights that it was made of (`digest_of`).
        entries: name of a tensor -> places in it, as if it were flat, int64 [n]; and what is added there, float32 [n].
        scale: times that it is added.
    """

    base: str
    entries: Mapping[str, tuple[Tensor, Tensor]]
    scale: float = 1.0

    @property
    def size(self) -> int:
        return sum(len(places) for places, _ in self.entries.values())

    def tensors(self) -> dict[str, Tensor]:
        named: dict[str, Tensor] = {}
        for name, (places, values) in self.entries.items():
            named |= {f"{name}:places": places.to(torch.int32), f"{name}:values": values.contiguous()}
        return named

    def facts(self) -> dict[str, Any]:
        return {"form": "difference", "base": self.base, "entries": self.size}


class Base:
    """The weights of a model, to which differences are added for a while.

    Args:
        model: of torch, in float32. It is not to be changed by anybody else.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.digest = digest_of(model)

    @contextmanager
    def added(self, *differences: Difference) -> Iterator[None]:
        """The model has these differences meanwhile, and afterwards the weights that it had, to the bit.

        Raises:
            SpecError: one was made of other weights, or does not fit into these.
        """
        weights = dict(weights_of(self.model))
        for difference in differences:
            require_base(difference.base, self.digest)
            for name, (places, _) in difference.entries.items():
                if name not in weights or (len(places) and int(places.max()) >= weights[name].numel()):
                    raise SpecError(f"a difference changes '{name}' in a place that the model does not have")
        before: list[tuple[Tensor, Tensor, Tensor]] = []
        try:
            with torch.no_grad():
                for difference in differences:
                    for name, (places, values) in difference.entries.items():
                        flat = weights[name].detach().view(-1)
                        before.append((flat, places, flat[places]))
                        flat[places] += difference.scale * values
            yield
        finally:
            # Subtracting would round once more, so what was there is put back, the last change first.
            for flat, places, values in reversed(before):
                flat[places] = values


def weights_of(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """By name, but for those of a pooler: no vector is made by it, and where a folder has none its weights are drawn."""
    for name, weight in model.named_parameters():
        if "pooler" not in name.split("."):
            yield name, weight


def digest_of(model: nn.Module) -> str:
    """sha256 over a model's weights, by name."""
    digest = hashlib.sha256()
    for name, weight in sorted(weights_of(model)):
        digest.update(f"{name} {weight.dtype} {list(weight.shape)}".encode())
        digest.update(weight.detach().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def difference_of(base: Base, before: Mapping[str, Tensor]) -> Difference:
    """What the model's weights are now, less what they were before, where that is not nothing."""
    entries = {}
    for name, weight in base.model.named_parameters():
        if name in before:
            moved = (weight.detach() - before[name]).view(-1)
            places = moved.nonzero().view(-1)
            if len(places):
                entries[name] = (places, moved[places])
    return Difference(base=base.digest, entries=entries)


def require_base(made_of: str, here: str) -> None:
    """Return if both digests are one.

    Raises:
        SpecError: they are not.
    """
    if made_of != here:
        raise SpecError(
            f"a module was made of weights with digest {made_of[:12]}, and these have {here[:12]}: together they would be"
            " neither. Name the model that it was taught on"
        )
