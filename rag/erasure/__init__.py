"""Erasure that can be shown: documents go from an index and from what was made of it, and a search says what is left."""

from rag.core.registry import Registry
from rag.erasure.erase import erase_from_index
from rag.erasure.receipt import Place, Receipt

KEEPERS = Registry(
    "keeper",
    {
        "batch": "rag.erasure.batch:BatchKeeper",
        "sessions": "rag.erasure.sessions:SessionsKeeper",
        "traces": "rag.erasure.traces:TracesKeeper",
    },
)
"""Name -> who takes documents out of a place of its kind. Places of no kind are looked through alone."""

__all__ = ["KEEPERS", "Place", "Receipt", "erase_from_index"]
