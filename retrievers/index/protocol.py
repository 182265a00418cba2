"""Moved for one release: the protocol of an index is `rag.indexes.Index`."""

raise ImportError("retrievers.index.protocol moved: import Index from rag.indexes")
