"""Is what made a leg still what it was?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rag.core.errors import IndexMismatch
from rag.models import ModelFolder, weights_sha256


def folder_facts(folder: ModelFolder) -> dict[str, Any]:
    """Which model a folder is, as a description of it begins: name or path, revision, and the weights' hash."""
    return {
        "model": str(folder.path) if folder.source == "path" else folder.name,
        "revision": folder.revision if folder.source == "hub" else None,
        "weights_sha256": weights_sha256(folder.path),
    }


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
    differences = [
        f"{key}: the index has {then.get(key)}, {here} {now.get(key)}"
        for key in sorted({*now, *then})
        if now.get(key) != then.get(key)
    ]
    if differences:
        raise IndexMismatch(f"{said}: {'; '.join(differences)}. Rebuild the index, or restore {cure}.")
