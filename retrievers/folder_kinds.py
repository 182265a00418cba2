"""Which of several kinds reads a model folder?"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError


def first_that_reads(folder: Path, kinds: Mapping[str, str], *, wanted: str) -> tuple[str, type[Any]]:
    """The name and class of the first kind that reads a folder.

    Args:
        kinds: name -> "module:Class", asked in this order: `refuses(folder)` says why a kind does not read it, and None
            where it does; `reads` is what folders of the kind are.
        wanted: what the folder is to be, for the message.
    Raises:
        SpecError: none does; with the reason of each.
    """
    reasons = []
    for name, entry in kinds.items():
        module, _, attribute = entry.partition(":")
        kind: type[Any] = getattr(import_module(module), attribute)
        reason = kind.refuses(folder)
        if reason is None:
            return name, kind
        reasons.append(f"as {kind.reads}: {reason}")
    raise SpecError(f"model folder '{folder}' cannot be read as {wanted}. {' '.join(reasons)} Choose another model.")
