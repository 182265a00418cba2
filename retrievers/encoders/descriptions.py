"""Descriptions of models: facts of a folder, and how what made a leg differs from what is here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rag.core.errors import IndexMismatch
from rag.models import ModelFolder, tokenizer_sha256, weights_sha256

_TOKENIZER = "tokenizer_sha256"
_ADDED = (_TOKENIZER,)
"""Facts that indexes of before do not have. What an index does not say is not compared."""


def folder_facts(folder: ModelFolder) -> dict[str, Any]:
    """Which model a folder is, as a description of it begins: name or path, revision, and the hashes of weights and
    tokenizer."""
    return {
        "model": str(folder.path) if folder.source == "path" else folder.name,
        "revision": folder.revision if folder.source == "hub" else None,
        "weights_sha256": weights_sha256(folder.path),
        _TOKENIZER: tokenizer_sha256(folder.path),
    }


def same_folder(folder: ModelFolder) -> dict[str, Any]:
    """What two folders have in common that hold one model, whatever they are called."""
    facts = folder_facts(folder)
    return {name: facts[name] for name in ("weights_sha256", _TOKENIZER)}


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of the facts by which what made a leg is not what is here, in order."""
    said = {*now, *then} - {name for name in _ADDED if name not in then}
    return sorted(name for name in said if now.get(name) != then.get(name))


def require_same(
    then: Mapping[str, Any], now: Mapping[str, Any], *, said: str, cure: str, here: str = "here is"
) -> None:
    """Return if both descriptions are equal.

    Args:
        then, now: of what made the leg, and of what is here. `said`: begins the message, `cure` ends it. `here`: what
            is said before what is here.
    Raises:
        IndexMismatch: names what differs, both sides of it.
    """
    differences = [f"{key}: the index has {then.get(key)}, {here} {now.get(key)}" for key in differing(then, now)]
    if differences:
        raise IndexMismatch(f"{said}: {'; '.join(differences)}. Rebuild the index, or restore {cure}.")
