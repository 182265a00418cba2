"""Rerankers: Ranking -> Ranking, same documents, new order. The table of all of them."""

from rag.core.registry import Registry

RERANKERS = Registry(
    "rerank",
    {
        "cosine": "rerankers.cosine:CosineReranker",
        "cross_encoder": "rerankers.cross_encoder:CrossEncoderReranker",
        "distinct": "rerankers.distinct:DistinctReranker",
        "first": "rerankers.first:FirstTokenReranker",
        "graded": "rerankers.graded:GradedReranker",
        "attention": "rerankers.attention.reranker:AttentionReranker",
        "icr": "rerankers.attention.icr.reranker:ICRReranker",
        "identity": "rerankers.identity:IdentityReranker",
        "late_interaction": "rerankers.late_interaction:LateInteractionReranker",
        "listwise": "rerankers.listwise:ListwiseReranker",
        "pairwise": "rerankers.pairwise:PairwiseReranker",
        "query_likelihood": "rerankers.query_likelihood:QueryLikelihoodReranker",
        "relevance": "rerankers.relevance:RelevanceReranker",
        "server": "rerankers.server:ServerReranker",
        "setwise": "rerankers.setwise:SetwiseReranker",
        "tournament": "rerankers.tournament:TournamentReranker",
        "yes_no": "rerankers.yes_no:YesNoReranker",
    },
)
