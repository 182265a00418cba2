"""Files -> an index directory."""

from rag.indexing.indexing import IndexReport, build_index, index_key

__all__ = ["IndexReport", "build_index", "index_key"]
