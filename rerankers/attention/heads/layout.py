"""The plan of the attention heads to read. Knows a model's configuration, not its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rag.core.errors import SpecError

_HEAD = re.compile(r"(\d{1,5})-(\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Layer -> heads read there, both from 0. `skipped` are layers whose rows are not full and so are never
    read. `windows` are the layers whose attention slides, with the positions that a token sees there.
    """

    heads: Mapping[int, tuple[int, ...]]
    skipped: tuple[int, ...] = ()
    windows: Mapping[int, int] = field(default_factory=dict)

    @property
    def deepest(self) -> int:
        """The last layer that has to be computed."""
        return max(self.heads)

    @property
    def names(self) -> tuple[tuple[int, int], ...]:
        """All (layer, head), in the order in which passes through the model meet them."""
        return tuple((layer, head) for layer in sorted(self.heads) for head in self.heads[layer])

    def pairs(self, shared: int) -> tuple[tuple[int, int], ...]:
        """All (layer, key head) that the heads read, in order; `shared` heads read one key head."""
        return tuple(dict.fromkeys((layer, head // shared) for layer, head in sorted(self.names)))

    def joined(self, other: Plan) -> Plan:
        """The heads of both, of one model."""
        layers = sorted({*self.heads, *other.heads})
        both = {layer: tuple(sorted({*self.heads.get(layer, ()), *other.heads.get(layer, ())})) for layer in layers}
        return Plan(heads=both, skipped=self.skipped, windows=self.windows)

    def window(self, layer: int) -> int | None:
        """Positions that a token of this layer sees, itself included; None where it sees all before it."""
        return self.windows.get(layer)


def parse_heads(heads: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """Layer -> heads, from "layer-head" names such as "17-4".

    Raises:
        ValueError: the list is empty, or a name has another form.
    """
    by_layer: dict[int, set[int]] = {}
    for name in heads:
        match = _HEAD.fullmatch(name)
        if match is None:
            raise ValueError(f"heads are named layer-head, both counted from 0, such as '17-4'; got {name!r}")
        by_layer.setdefault(int(match[1]), set()).add(int(match[2]))
    if not by_layer:
        raise ValueError("heads must name at least one head; leave it out to read all of them")
    return {layer: tuple(sorted(numbers)) for layer, numbers in sorted(by_layer.items())}


def make_plan(
    config: Any,
    *,
    context: int,
    heads: Mapping[int, tuple[int, ...]] | None = None,
    layers: tuple[int, int] | None = None,
) -> Plan:
    """What to read of the decoder that `config` describes.

    Args:
        config: a transformers configuration of a text decoder.
        context: tokens a prompt may have. A sliding window at least this long never slides, so its rows are
            full.
        heads: layer -> heads; all of a layer's heads when None.
        layers: first and last layer, both included; all layers when None.
    Raises:
        SpecError: the model has no such layer or head, or none of those asked for attends to the whole
            prompt.
    """
    n_layers, n_heads = int(config.num_hidden_layers), int(config.num_attention_heads)
    model = getattr(config, "model_type", "model")
    full = _full_layers(config, n_layers, context)
    wanted = heads if heads is not None else {layer: tuple(range(n_heads)) for layer in range(n_layers)}
    if layers is not None:
        if layers[1] >= n_layers:
            raise SpecError(f"layers {layers[0]}..{layers[1]}: this {model} has layers 0..{n_layers - 1}")
        wanted = {layer: numbers for layer, numbers in wanted.items() if layers[0] <= layer <= layers[1]}
    if heads is not None:
        _check_heads(heads, full, n_layers, n_heads, model)
    read = {layer: numbers for layer, numbers in wanted.items() if full[layer]}
    if not read:
        window = getattr(config, "sliding_window", None) or getattr(config, "attention_chunk_size", None)
        sees = f"; they see {window} tokens of the {context} that a prompt may have" if window else ""
        raise SpecError(
            f"attention reranking reads layers that attend to the whole prompt, and none of the layers asked for in "
            f"this {model} ({n_layers} layers) does{sees}. Use another model or other layers."
        )
    skipped = tuple(layer for layer in wanted if not full[layer])
    window = getattr(config, "sliding_window", None)
    windows = {} if window is None else {layer: int(window) for layer in range(n_layers) if not full[layer]}
    return Plan(heads=read, skipped=skipped, windows=windows)


def _check_heads(
    heads: Mapping[int, tuple[int, ...]], full: Sequence[bool], n_layers: int, n_heads: int, model: str
) -> None:
    for layer, numbers in heads.items():
        if layer >= n_layers or max(numbers) >= n_heads:
            raise SpecError(
                f"there is no head {layer}-{max(numbers)}: this {model} has layers 0..{n_layers - 1} "
                f"with heads 0..{n_heads - 1}"
            )
        if not full[layer]:
            raise SpecError(
                f"head {layer}-{numbers[0]} cannot be read: layer {layer} of this {model} does not attend to "
                "the whole prompt. Layers that do: " + ", ".join(str(i) for i, whole in enumerate(full) if whole)
            )


def _full_layers(config: Any, n_layers: int, context: int) -> list[bool]:
    """For each layer, whether each token attends to all before it."""
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    chunk = getattr(config, "attention_chunk_size", None)
    never_slides = window is None or window >= context
    one_chunk = chunk is None or chunk >= context
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return [never_slides and one_chunk] * n_layers
    full = {"full_attention": True, "sliding_attention": never_slides, "chunked_attention": one_chunk}
    strange = sorted(set(kinds) - set(full))
    if strange:
        raise SpecError(
            f"this {getattr(config, 'model_type', 'model')} has layers of kind {', '.join(strange)}; attention "
            f"reranking works with layers of kind {', '.join(full)} alone. Use another model."
        )
    return [full[kind] for kind in kinds]
