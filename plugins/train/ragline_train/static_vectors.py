"""A sentence encoder -> static vectors: what it makes of each token of its vocabulary alone, by model2vec."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rag.errors import SpecError, need
from rag.files import require_writable
from rag.indexes import EncoderFolder

Numbers = Literal["float32", "float16", "int8"]
_POOLINGS = {"mean": "mean", "cls": "first", "lasttoken": "last"}
"""Ours -> model2vec's."""


def distil_static(
    model: str, out: Path, *, revision: str | None = None, dim: int = 256, numbers: Numbers = "float16"
) -> Path:
    """Write a folder of static vectors, in model2vec's layout, that the dense leg reads as an encoder.

    Each token of the vocabulary is read alone, between the special ones, and pooled as the model's folder says. Of all
    vectors the `dim` main axes are kept (PCA). Tokens that come early in the vocabulary are frequent, and weigh less
    (Zipf's law with SIF, 1e-4). These are model2vec's own steps and defaults.

    Args:
        model: a packaged name, a folder, or a hub id.
        out: a folder that is empty, or is not there yet.
        numbers: what a number is kept as.
    Raises:
        SpecError: the model does more after pooling, or pools otherwise than model2vec can; or the folder is not empty.
        MissingDependency: model2vec, or what it distils with, is not installed.
    """
    for module in ("model2vec", "skeletoken"):
        need(module, by="distilling static vectors", line="pip install './plugins/train[static]' (from a checkout)")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SpecError(f"'{out}' is there already, and not empty. Name another folder, or empty it.")
    require_writable(out)
    from model2vec.distill import distill_from_model
    from model2vec.persistence import save_pretrained

    found = EncoderFolder.of(model, revision=revision)
    pooling = _pooling(found)
    loaded, tokenizer = found.load()
    made: Any = distill_from_model(
        loaded, tokenizer, device=str(loaded.device), pca_dims=dim, quantize_to=numbers, pooling=pooling
    )
    made.config["tokenizer_name"] = Path(found.name).name  # it would be where the folder lies
    save_pretrained(out, made.embedding, made.tokenizer, made.config, create_model_card=False)
    return out


def _pooling(folder: EncoderFolder) -> str:
    """What model2vec calls the pooling of a folder.

    Raises:
        SpecError: it does something else, or more.
    """
    how = folder.how
    layers = [step for step in how.after if step != "normalise"]
    if layers or len(how.pooling) != 1 or how.pooling[0] not in _POOLINGS:
        does = f"pools by {' and '.join(how.pooling)}" + (f" and has {len(layers)} layers after it" if layers else "")
        raise SpecError(
            f"model folder '{folder.path}' {does}. Static vectors are distilled from models that pool by"
            f" {', '.join(_POOLINGS)} and end there. Choose another model."
        )
    return _POOLINGS[how.pooling[0]]
