"""First stages: Query -> Ranking. The table of all of them, readable without loading any."""

from rag.core.registry import Registry

RETRIEVERS = Registry(
    "retrieve",
    {
        "bm25": "retrievers.bm25:BM25Retriever",
        "collection": "retrievers.collection:CollectionRetriever",
        "dense": "retrievers.dense:DenseRetriever",
        "late_interaction": "retrievers.late_interaction:LateInteractionRetriever",
        "promptreps": "retrievers.promptreps:PromptRepsRetriever",
        "run": "retrievers.run:RunRetriever",
        "sparse": "retrievers.sparse:SparseRetriever",
    },
)
