"""Stages that need no index and no weights of their own: the tables of all of them."""

from rag.core.registry import Registry

REFORMULATORS = Registry("reformulate", {"conversation": "rag.stages.conversation:ConversationReformulator"})

FUSERS = Registry(
    "fuse",
    {
        "rrf": "rag.stages.fuse:RRFFuser",
        "weighted": "rag.stages.fuse:WeightedFuser",
    },
)

ASSEMBLERS = Registry(
    "assemble",
    {
        "counts": "generators.counts:CountsAssembler",
        "gate": "rag.stages.risk.refusal:GateAssembler",
        "highlights": "generators.highlights:HighlightsAssembler",
        "token_budget": "rag.stages.assemble:TokenBudgetAssembler",
    },
)

CHECKERS = Registry(
    "check",
    {
        "risk": "rag.stages.risk.refusal:RiskChecker",
        "words": "rag.stages.checks.words:WordsChecker",
    },
)

TRANSFORMS = Registry(
    "transform",
    {
        "context": "rag.stages.transform.context:ContextTransform",
    },
)
