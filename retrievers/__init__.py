"""First stages: Query -> Ranking. The table of all of them, readable without loading any."""

from rag.core.registry import Registry

RETRIEVERS = Registry(
    "retrieve",
    {
        "bm25": "retrievers.legs.lexical.retriever:BM25Retriever",
        "dense": "retrievers.legs.dense.retriever:DenseRetriever",
        "late_interaction": "retrievers.legs.late_interaction.retriever:LateInteractionRetriever",
        "run": "retrievers.run:RunRetriever",
        "sparse": "retrievers.legs.sparse.retriever:SparseRetriever",
    },
)
