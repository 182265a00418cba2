"""A sentence encoder -> static vectors: what it makes of each token of its vocabulary alone, by model2vec."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rag.core.errors import SpecError
from rag.core.held_folder import require_writable
from rag.core.optional import need
from rag.models import resolve

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
        need(module, by="distilling static vectors", extra="static")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SpecError(f"'{out}' is there already, and not empty. Name another folder, or empty it.")
    require_writable(out)
    from model2vec.distill import distill_from_model
    from model2vec.persistence import save_pretrained

    from rag.models.importing import import_transformers
    from retrievers.encoders.transformer import load_transformer

    found = resolve(model, revision=revision)
    transformer, pooling = _read(found.path)
    loaded: Any = load_transformer(transformer, compute="float32")
    tokenizer = import_transformers().AutoTokenizer.from_pretrained(
        transformer, local_files_only=True, trust_remote_code=False
    )
    made: Any = distill_from_model(
        loaded, tokenizer, device=str(loaded.device), pca_dims=dim, quantize_to=numbers, pooling=pooling
    )
    made.config["tokenizer_name"] = Path(found.name).name  # it would be where the folder lies
    save_pretrained(out, made.embedding, made.tokenizer, made.config, create_model_card=False)
    return out


def _read(folder: Path) -> tuple[Path, str]:
    """Where the transformer lies, and what model2vec calls its pooling."""
    from retrievers.encoders.sentence_folder import read_sentence_folder

    how = read_sentence_folder(folder)
    layers = [step for step in how.after if step != "normalise"]
    if layers or len(how.pooling) != 1 or how.pooling[0] not in _POOLINGS:
        does = f"pools by {' and '.join(how.pooling)}" + (f" and has {len(layers)} layers after it" if layers else "")
        raise SpecError(
            f"model folder '{folder}' {does}. Static vectors are distilled from models that pool by"
            f" {', '.join(_POOLINGS)} and end there. Choose another model."
        )
    return how.transformer, _POOLINGS[how.pooling[0]]
