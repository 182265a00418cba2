"""An index: documents and legs, wherever they are. The tables of its kinds, readable without loading any."""

from typing import Any

from rag.core.registry import Registry

INDEXES = Registry(
    "index", {"joined": "retrievers.index.joined:JoinedIndex", "local": "retrievers.index.directory:LocalIndex"}
)
"""Scheme of an address (`mine` of `mine://place`) -> a class with `open(address)`. A plain path is local."""

SERVERS = Registry("server", {})
"""Scheme of an address (`milvus` of `milvus://host/collection`) -> what keeps indexes there (`rag.indexes.IndexServer`)."""


def __getattr__(name: str) -> Any:
    if name in ("STORES", "WRITERS"):  # for one release
        raise ImportError(f"retrievers.index.{name} is in retrievers.index.SERVERS now, with the class of a scheme")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
