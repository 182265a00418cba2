"""Erasure that can be shown: documents go from an index and from what was made of it, and a search says what is left."""

from rag.erasure.erase import erase_from_index
from rag.erasure.receipt import Place, Receipt
from rag.erasure.store_protocol import KEEPERS

__all__ = ["KEEPERS", "Place", "Receipt", "erase_from_index"]
