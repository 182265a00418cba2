"""Legs of an index on a server. The table of those that a server can have, readable without loading any."""

from rag.core.registry import Registry

SERVER_LEGS = Registry(
    "server leg",
    {
        "dense": "retrievers.servers.legs.dense:ServerDenseKind",
        "lexical": "retrievers.servers.legs.lexical:ServerLexicalKind",
        "sparse": "retrievers.servers.legs.sparse:ServerSparseKind",
    },
)
"""Name of a leg -> the class that says how a server keeps it (`retrievers.servers.legs.protocol.ServerLegKind`)."""
