"""Files -> an index directory, and out of it again."""

from rag.indexing.build import IndexReport, Loss, TooMuchLost
from rag.indexing.indexing import build_index, index_exists, index_key, index_settings, index_sources, remove_from_index

__all__ = [
    "IndexReport",
    "Loss",
    "TooMuchLost",
    "build_index",
    "index_exists",
    "index_key",
    "index_settings",
    "index_sources",
    "remove_from_index",
]
