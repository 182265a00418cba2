"""An index: documents and legs, wherever they are. The tables of its kinds, readable without loading any."""

from rag.core.registry import Registry

_STORES = {
    "milvus": "retrievers.servers.milvus:MilvusStore",
    "milvus+https": "retrievers.servers.milvus:MilvusStore",
    "milvus+lite": "retrievers.servers.milvus:MilvusStore",
    "qdrant": "retrievers.servers.qdrant:QdrantStore",
    "qdrant+https": "retrievers.servers.qdrant:QdrantStore",
    "qdrant+local": "retrievers.servers.qdrant:QdrantStore",
}

STORES = Registry("server", _STORES)
"""Scheme of a server's address -> a class with `connect(address)` (`retrievers.servers.store.CollectionStore`)."""

EMBEDDED = ("milvus+lite", "qdrant+local")
"""Schemes whose server is a library in this process, with its data at a path."""

INDEXES = Registry(
    "index",
    {
        "joined": "retrievers.index.joined:JoinedIndex",
        "local": "retrievers.index.directory:LocalIndex",
        **dict.fromkeys(_STORES, "retrievers.servers.index:ServerIndex"),
    },
)
"""Scheme of an address (`milvus` of `milvus://host/collection`) -> a class with `open(address)`. A plain path is local."""

WRITERS = Registry("index_writer", dict.fromkeys(_STORES, "retrievers.servers.writer:ServerWriter"))
"""Scheme of an address -> a class that builds there (`retrievers.index.built.IndexWriter`). A plain path needs none."""
