"""An index: documents and legs, wherever they are. The table of its kinds, readable without loading any."""

from rag.core.registry import Registry

INDEXES = Registry(
    "index",
    {"joined": "retrievers.index.joined:JoinedIndex", "local": "retrievers.index.directory:LocalIndex"},
)
"""Scheme of an address (`milvus` of `milvus://host/collection`) -> a class with `open(address)`. A plain path is local."""
