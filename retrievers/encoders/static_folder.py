"""What a folder in model2vec's layout says: config.json, and the header of model.safetensors. No weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError
from rag.models.sizes import tensor_shapes
from retrievers.encoders.sentence_folder import json_object

TABLE, ROWS, WEIGHTS = "embeddings", "mapping", "weights"
"""Tensors: a vector in each row; token -> row, where tokens share rows; token -> what its vector is multiplied by."""
_LONGEST_BY_DEFAULT = 512


@dataclass(frozen=True, kw_only=True)
class StaticFolder:
    """`tokens`: how many have a vector. `max_length`: tokens of a text that are averaged; None for all."""

    weights: Path
    tokenizer: Path
    tokens: int
    dim: int
    normalise: bool
    max_length: int | None


def is_static(folder: Path) -> bool:
    """Whether config.json says that it is one, or model.safetensors holds what static vectors are and nothing else."""
    config = json_object(folder / "config.json")
    if config.get("model_type") == "model2vec" or "StaticModel" in (config.get("architectures") or ()):
        return True
    file = folder / "model.safetensors"
    if not config or "model_type" in config or not file.is_file():
        return False
    tensors = _shapes(file)
    return TABLE in tensors and {*tensors} <= {TABLE, ROWS, WEIGHTS}


def read_static_folder(folder: Path) -> StaticFolder:
    """Read `folder`.

    Raises:
        SpecError: a file is absent, or not what its name promises.
    """
    config = json_object(folder / "config.json", required=True)
    file, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise SpecError(f"model folder '{folder}': static vectors need its tokenizer.json, and it is not there")
    tensors = _shapes(file)
    shape = _shape(tensors, TABLE, 2, file)
    tokens = [_shape(tensors, name, 1, file)[0] for name in (ROWS, WEIGHTS) if name in tensors]
    if len(set(tokens)) > 1:
        raise SpecError(f"{file}: '{ROWS}' is for {tokens[0]} tokens and '{WEIGHTS}' for {tokens[1]}")
    return StaticFolder(
        weights=file,
        tokenizer=tokenizer,
        tokens=tokens[0] if tokens else shape[0],
        dim=shape[1],
        normalise=bool(config.get("normalize", False)),
        max_length=_max_length(config, folder),
    )


def _max_length(config: Mapping[str, Any], folder: Path) -> int | None:
    said = config.get("max_length", _LONGEST_BY_DEFAULT)
    if said is not None and (not isinstance(said, int) or isinstance(said, bool) or said < 1):
        raise SpecError(f"{folder / 'config.json'}: max_length must be a positive number or null, got {said!r}")
    return said


def _shapes(file: Path) -> Mapping[str, list[int]]:
    try:
        return tensor_shapes(file)
    except ValueError as cause:
        raise SpecError(f"'{file}' cannot be read as safetensors: {cause}") from cause


def _shape(tensors: Mapping[str, list[int]], name: str, axes: int, file: Path) -> list[int]:
    shape = tensors.get(name)
    if shape is None or len(shape) != axes:
        has = ", ".join(sorted(tensors)) or "nothing"
        raise SpecError(f"{file}: static vectors are a tensor '{name}' of {axes} axes; it has {has}, shape {shape}")
    return shape
