"""Files -> an index directory, and out of it again."""

from rag.indexing.build import IndexReport
from rag.indexing.indexing import build_index, index_key, index_sources, remove_from_index
from rag.indexing.losses import Loss, TooMuchLost

__all__ = [
    "IndexReport",
    "Loss",
    "TooMuchLost",
    "build_index",
    "index_key",
    "index_sources",
    "remove_from_index",
]
