"""A decoder's layers as torch.compile makes them, while they are read for their attention and not a moment longer.

What lies between a layer's matrix products (norms, rotations, activations) becomes a few loops over memory instead of a
dozen. Where products are fast, as with AMX, much of the time goes there. Our attention function stays as it is: what it
does depends on the blocks of a row, which no graph could know. The model is lent and others use it, so layers run as they
did before as soon as the reading ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from rag.core.errors import SpecError
from rerankers.attention.reading.capture import ATTENTION, attention_switched

_OUTSIDE = f"{ATTENTION}_outside"
"""Our attention function, which no graph contains."""


@contextmanager
def compiled_and_switched(decoder: Any) -> Iterator[None]:
    """As `attention_switched`, with compiled layers. The first pass compiles them, which takes seconds.

    Raises:
        SpecError: they cannot be compiled here.
    """
    _register()
    layers = list(decoder.layers)
    before = [layer._compiled_call_impl for layer in layers]
    try:
        for layer in layers:
            layer._compiled_call_impl = partial(_compiled(layer.__class__), layer)
        with attention_switched(decoder, name=_OUTSIDE):
            yield
    except torch._dynamo.exc.TorchDynamoException as cause:
        raise SpecError(
            f"rerank.attention: torch.compile does not compile this model's layers here: {_first_line(cause)}. "
            "Set compiled: false."
        ) from cause
    finally:
        for layer, call in zip(layers, before, strict=True):
            layer._compiled_call_impl = call


@cache
def _compiled(kind: type[Any]) -> Any:
    """How layers of a kind are called when compiled. Of the kind and not of a layer, whose weights it would keep alive."""
    # Lengths differ from pack to pack: one graph for all of them.
    return torch.compile(kind._call_impl, dynamic=True)


@cache
def _register() -> None:
    function = torch.compiler.disable(ALL_ATTENTION_FUNCTIONS[ATTENTION])  # type: ignore[no-untyped-call]
    ALL_ATTENTION_FUNCTIONS.register(_OUTSIDE, function)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_OUTSIDE, sdpa_mask)


def _first_line(cause: BaseException) -> str:
    return next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
