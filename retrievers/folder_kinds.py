"""Which of several kinds reads a model folder?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rag.core.errors import SpecError
from rag.core.registry import Registry


def first_that_reads(folder: Path, kinds: Registry, *, wanted: str, first: str | None = None) -> tuple[str, type[Any]]:
    """The name and class of the first kind that reads a folder.

    Args:
        kinds: of each, `refuses(folder)` says why it does not read the folder, and None where it does; `reads` is what
            folders of the kind are. Those of plug-ins are asked before ours, which read much.
        wanted: what the folder is to be, for the message.
        first: the kind that is asked before the others: one that made an index goes on reading its folder, whatever comes
            before it in the table by now.
    Raises:
        SpecError: none does; with the reason of each.
    """
    reasons = []
    for name in kinds.in_order(first):
        kind = kinds.get(name)
        reason = kind.refuses(folder)
        if reason is None:
            return name, kind
        reasons.append(f"as {kind.reads}: {reason}")
    raise SpecError(f"model folder '{folder}' cannot be read as {wanted}. {' '.join(reasons)} Choose another model.")
