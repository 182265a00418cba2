"""Files and documents -> an index directory, and out of it again."""

from rag.indexing.build import IndexReport
from rag.indexing.changes import add_documents, merge_index, remove_documents, update_documents
from rag.indexing.indexing import build_index, index_exists, index_key, index_settings, index_sources, remove_from_index
from rag.indexing.loss_limit import Loss, TooMuchLost

__all__ = [
    "IndexReport",
    "Loss",
    "TooMuchLost",
    "add_documents",
    "build_index",
    "index_exists",
    "index_key",
    "index_settings",
    "index_sources",
    "merge_index",
    "remove_documents",
    "remove_from_index",
    "update_documents",
]
