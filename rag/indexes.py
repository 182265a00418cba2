"""For whoever opens an index by its address."""

from retrievers.index.opening import encoder_of, is_index, open_index
from retrievers.index.protocol import Index
from retrievers.index.settings import IndexSettings

__all__ = [
    "Index",
    "IndexSettings",
    "encoder_of",
    "is_index",
    "open_index",
]
