"""Stages that need no index and no weights of their own: the tables of all of them."""

from rag.core.registry import Registry

REFORMULATORS = Registry(
    "reformulate",
    {
        "code": "rag.stages.reformulate.expand:CodeReformulator",
        "code_switch": "rag.stages.reformulate.code_switch:CodeSwitchReformulator",
        "conversation": "rag.stages.reformulate.conversation:ConversationReformulator",
        "decompose": "rag.stages.reformulate.decompose:DecomposeReformulator",
        "genqr_ensemble": "rag.stages.reformulate.genqr:GenQREnsembleReformulator",
        "genqr_ensemble_rf": "rag.stages.reformulate.genqr_feedback:GenQREnsembleRFReformulator",
        "genqr_fusion": "rag.stages.reformulate.genqr:GenQRFusionReformulator",
        "genqr_fusion_rf": "rag.stages.reformulate.genqr_feedback:GenQRFusionRFReformulator",
        "hyde": "rag.stages.reformulate.expand:HydeReformulator",
        "multi_query": "rag.stages.reformulate.multi_query:MultiQueryReformulator",
        "query2doc": "rag.stages.reformulate.expand:Query2docReformulator",
        "rm3": "rag.stages.reformulate.rm3:RM3Reformulator",
        "sl_hyde": "rag.stages.reformulate.expand:SLHydeReformulator",
        "step_back": "rag.stages.reformulate.step_back:StepBackReformulator",
        "think": "rag.stages.reformulate.expand:ThinkReformulator",
        "tool_query": "rag.stages.reformulate.tool_query:ToolQueryReformulator",
    },
)

FUSERS = Registry(
    "fuse",
    {
        "interleave": "rag.stages.interleave:InterleaveFuser",
        "rrf": "rag.stages.fuse:RRFFuser",
        "weighted": "rag.stages.fuse:WeightedFuser",
    },
)

ASSEMBLERS = Registry("assemble", {"token_budget": "rag.stages.assemble:TokenBudgetAssembler"})

TRANSFORMS = Registry(
    "transform",
    {
        "identifiers": "rag.stages.transform.identifiers:IdentifierTransform",
        "rewrite_code": "rag.stages.transform.rewrite_code:RewriteCodeTransform",
    },
)
