"""The size of a model in memory, from its files' headers and its config alone."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from rag.core.errors import MissingModel
from rag.models.folder import weight_files

_LARGEST_HEADER = 100 << 20  # what safetensors itself allows


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Layers, numbers per token between and inside them, numbers of one token's keys in one layer, entries of the
    vocabulary, and tokens that the model was made for (0: the config does not say)."""

    layers: int
    hidden: int
    inner: int
    keys: int
    vocabulary: int
    window: int

    def cache_numbers(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.keys

    def pass_numbers(self) -> int:
        """What one token takes, at most, on its way through one layer: in, out, queries, keys, values, and inside.

        Six and three were to be expected; these were measured, in float32 on a processor.
        """
        return 10 * self.hidden + 4 * self.inner


def read_shape(folder: Path) -> Shape:
    """From config.json, by the names that transformers' model families use.

    Raises:
        MissingModel: the file is absent, or does not say how many layers there are and how wide they are.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise MissingModel(f"'{folder / 'config.json'}' cannot be read: {cause}") from cause
    said = {**config, **(config.get("text_config") or {})}
    layers, hidden = (
        _first(said, "num_hidden_layers", "n_layer", "n_layers"),
        _first(said, "hidden_size", "n_embd", "d_model"),
    )
    if not layers or not hidden:
        raise MissingModel(
            f"'{folder / 'config.json'}' does not say how many layers the model has and how wide they are"
        )
    heads = _first(said, "num_attention_heads", "n_head", "n_heads") or 1
    head_size = _first(said, "head_dim") or hidden // heads
    return Shape(
        layers=layers,
        hidden=hidden,
        inner=_first(said, "intermediate_size", "n_inner", "ffn_dim") or 4 * hidden,
        keys=(_first(said, "num_key_value_heads") or heads) * head_size,
        vocabulary=_first(said, "vocab_size"),
        window=_first(said, "max_position_embeddings", "n_positions"),
    )


def count_parameters(folder: Path) -> int:
    """Numbers in the weight files, as their headers say.

    Raises:
        MissingModel: there are no weights, or a file is no safetensors file.
    """
    files = weight_files(folder)
    if not files:
        raise MissingModel(f"model folder '{folder}' has no model.safetensors")
    return sum(map(_numbers_in, files))


def tensor_shapes(file: Path) -> dict[str, list[int]]:
    """Tensor -> its shape, as the header of a safetensors file says it. No weights are read.

    Raises:
        ValueError: it cannot be read, or is no safetensors file.
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _LARGEST_HEADER:
                raise ValueError(f"a header of {length:,} bytes")
            header = json.loads(stream.read(length))
        return {name: list(map(int, tensor["shape"])) for name, tensor in header.items() if name != "__metadata__"}
    except (OSError, struct.error, KeyError, TypeError, AttributeError) as cause:
        raise ValueError(str(cause)) from cause


def _numbers_in(file: Path) -> int:
    try:
        return sum(map(prod, tensor_shapes(file).values()))
    except ValueError as cause:
        raise MissingModel(f"'{file}' is no safetensors file: {cause}") from cause


def _first(said: dict[str, Any], *names: str) -> int:
    return next((value for name in names if isinstance(value := said.get(name), int)), 0)
