"""The product of tokens and vocabulary of a masked language model, some terms at a time.

A pass of a thousand tokens over thirty thousand terms is 60 MB in bfloat16, and the largest of each column is all that is
wanted of it. As one product it went through memory several times, which was five sixths of a reading by a small model. Some
terms at a time stay in the processor's cache, and come out the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Linear

_TERMS = 512
"""Of 256 to 4,096 the fastest for a thousand tokens, on a core with 1 MB of its own."""
_PROBE = ((1, 2, 3),)


class Vocabulary:
    """`model`: gives in place of logits the states that its last layer reads, where that can be taken out of it."""

    def __init__(self, model: Any) -> None:
        self._blocks = _taken_out(model)

    def logits(self, states: Tensor) -> Iterator[Tensor]:
        """What the model gave, [texts, tokens, width] -> logits, [texts, tokens, terms], some terms after the others."""
        if self._blocks is None:
            yield states
            return
        for block in self._blocks:
            yield block(states)


def _taken_out(model: Any) -> list[Linear] | None:
    """The last layer in blocks; None where the model does something else with it than to apply it in the end."""
    import torch

    last = model.get_output_embeddings()
    if not isinstance(last, torch.nn.Linear):
        return None
    probe = torch.tensor(_PROBE, device=model.device)
    places = [(part, name) for part in model.modules() for name, one in part.named_children() if one is last]
    with torch.inference_mode():
        whole = model(input_ids=probe).logits
        for part, name in places:
            part.register_module(name, torch.nn.Identity())
        states = model(input_ids=probe).logits
        if states.shape[-1] == last.in_features and torch.equal(last(states), whole):
            return [_part(last, slice(start, start + _TERMS)) for start in range(0, last.out_features, _TERMS)]
    for part, name in places:
        part.register_module(name, last)
    return None


def _part(layer: Linear, terms: slice) -> Linear:
    """Some of what a layer gives; it multiplies as the layer does, and shares its weights."""
    import torch

    weight = layer.weight[terms]
    part = type(layer)(layer.in_features, len(weight), bias=layer.bias is not None, device="meta")
    part.weight = torch.nn.Parameter(weight, requires_grad=False)
    if layer.bias is not None:
        part.bias = torch.nn.Parameter(layer.bias[terms], requires_grad=False)
    return part
