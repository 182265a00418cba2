"""Stages that need no index and no weights of their own: the tables of all of them."""

from rag.registry import Registry

REFORMULATORS = Registry("reformulate", {"multi_query": "rag.stages.multi_query:MultiQueryReformulator"})

FUSERS = Registry(
    "fuse",
    {
        "rrf": "rag.stages.fuse:RRFFuser",
        "weighted": "rag.stages.fuse:WeightedFuser",
    },
)

ASSEMBLERS = Registry("assemble", {"token_budget": "rag.stages.assemble:TokenBudgetAssembler"})

TRANSFORMS = Registry("transform", {"identifiers": "rag.stages.identifiers:IdentifierTransform"})
