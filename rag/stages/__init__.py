"""Stages that need no index and no weights of their own: the tables of all of them."""

from rag.registry import Registry

REFORMULATORS = Registry(
    "reformulate",
    {
        "code": "rag.stages.expand:CodeReformulator",
        "code_switch": "rag.stages.code_switch:CodeSwitchReformulator",
        "conversation": "rag.stages.conversation:ConversationReformulator",
        "decompose": "rag.stages.decompose:DecomposeReformulator",
        "genqr_ensemble": "rag.stages.genqr:GenQREnsembleReformulator",
        "genqr_ensemble_rf": "rag.stages.genqr_feedback:GenQREnsembleRFReformulator",
        "genqr_fusion": "rag.stages.genqr:GenQRFusionReformulator",
        "genqr_fusion_rf": "rag.stages.genqr_feedback:GenQRFusionRFReformulator",
        "hyde": "rag.stages.expand:HydeReformulator",
        "multi_query": "rag.stages.multi_query:MultiQueryReformulator",
        "query2doc": "rag.stages.expand:Query2docReformulator",
        "rm3": "rag.stages.rm3:RM3Reformulator",
        "sl_hyde": "rag.stages.expand:SLHydeReformulator",
        "step_back": "rag.stages.step_back:StepBackReformulator",
        "think": "rag.stages.expand:ThinkReformulator",
        "tool_query": "rag.stages.tool_query:ToolQueryReformulator",
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
        "identifiers": "rag.stages.identifiers:IdentifierTransform",
        "rewrite_code": "rag.stages.rewrite_code:RewriteCodeTransform",
    },
)
