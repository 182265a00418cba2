"""For whoever opens an index by its address."""

from rag.core.vectors import unit
from retrievers.index.opening import encoder_of, is_index, open_index
from retrievers.index.settings import IndexSettings
from retrievers.index_protocol import Index

__all__ = [
    "Index",
    "IndexSettings",
    "encoder_of",
    "is_index",
    "open_index",
    "unit",
]
