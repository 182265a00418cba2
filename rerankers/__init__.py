"""Rerankers: Ranking -> Ranking, same documents, new order. The table of all of them."""

from rag.registry import Registry

RERANKERS = Registry(
    "rerank",
    {
        "icr": "rerankers.icr:ICRReranker",
        "identity": "rerankers.identity:IdentityReranker",
        "listwise": "rerankers.listwise:ListwiseReranker",
    },
)
