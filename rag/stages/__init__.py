"""Stages that need no index and no weights of their own: the tables of all of them."""

from rag.core.registry import Registry

REFORMULATORS = Registry("reformulate", {"conversation": "rag.stages.conversation:ConversationReformulator"})

FUSERS = Registry(
    "fuse",
    {
        "interleave": "rag.stages.fuse:InterleaveFuser",
        "rrf": "rag.stages.fuse:RRFFuser",
        "weighted": "rag.stages.fuse:WeightedFuser",
    },
)

ASSEMBLERS = Registry(
    "assemble",
    {
        "counts": "generators.counts:CountsAssembler",
        "gate": "rag.stages.risk.refusal:GateAssembler",
        "sections": "rag.stages.sections:SectionsAssembler",
        "token_budget": "rag.stages.assemble:TokenBudgetAssembler",
    },
)

CHECKERS = Registry(
    "check",
    {
        "encoder": "rag.stages.checks.encoder:EncoderChecker",
        "model": "rag.stages.checks.model:ModelChecker",
        "nli": "rag.stages.checks.nli:NLIChecker",
        "risk": "rag.stages.risk.refusal:RiskChecker",
        "words": "rag.stages.checks.words:WordsChecker",
    },
)

TRANSFORMS = Registry(
    "transform",
    {
        "context": "rag.stages.transform.context:ContextTransform",
        "identifiers": "rag.stages.transform.identifiers:IdentifierTransform",
    },
)
