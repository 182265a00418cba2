"""ragline: retrieval-augmented generation as declarative graphs.

>>> import rag
>>> rag.build_index(["handbook/"], "handbook-index")        # doctest: +SKIP
>>> pipeline = rag.load_pipeline("ask", index="handbook-index")  # doctest: +SKIP
>>> print(pipeline.ask("How many days of leave do I have?").text)  # doctest: +SKIP

Importing this package loads neither numpy nor any stage; names below load what they need when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rag.core.access import Asker
from rag.core.errors import (
    ContractError,
    IndexBusy,
    IndexMismatch,
    IndexProblem,
    IngestError,
    MissingDependency,
    MissingModel,
    NewerIndex,
    RagError,
    SpecError,
    StageError,
    UnknownComponent,
)
from rag.core.quiet import usage_reports_off
from rag.core.types import (
    Answer,
    AnswerDelta,
    Citation,
    Completion,
    Context,
    Document,
    Message,
    Outcome,
    Query,
    QueryPart,
    Ranking,
    SamplingParams,
    ScoredDocument,
    Usage,
)
from rag.core.version import VERSION

if TYPE_CHECKING:
    from rag.graph.spec import GraphSpec
    from rag.indexing import (
        add_documents,
        build_index,
        index_sources,
        merge_index,
        remove_documents,
        remove_from_index,
        update_documents,
    )
    from rag.langchain import from_langchain
    from rag.pipeline import Pipeline, load_pipeline
    from rag.pipeline.texts import rerank_texts

__version__ = VERSION

usage_reports_off()

_LAZY = {
    "GraphSpec": "rag.graph.spec",
    "Pipeline": "rag.pipeline",
    "add_documents": "rag.indexing",
    "build_index": "rag.indexing",
    "from_langchain": "rag.langchain",
    "index_sources": "rag.indexing",
    "load_pipeline": "rag.pipeline",
    "merge_index": "rag.indexing",
    "remove_documents": "rag.indexing",
    "remove_from_index": "rag.indexing",
    "rerank_texts": "rag.pipeline.texts",
    "update_documents": "rag.indexing",
}

__all__ = [
    "Answer",
    "AnswerDelta",
    "Asker",
    "Citation",
    "Completion",
    "Context",
    "ContractError",
    "Document",
    "GraphSpec",
    "IndexBusy",
    "IndexMismatch",
    "IndexProblem",
    "IngestError",
    "Message",
    "MissingDependency",
    "MissingModel",
    "NewerIndex",
    "Outcome",
    "Pipeline",
    "Query",
    "QueryPart",
    "RagError",
    "Ranking",
    "SamplingParams",
    "ScoredDocument",
    "SpecError",
    "StageError",
    "UnknownComponent",
    "Usage",
    "add_documents",
    "build_index",
    "from_langchain",
    "index_sources",
    "load_pipeline",
    "merge_index",
    "remove_documents",
    "remove_from_index",
    "rerank_texts",
    "update_documents",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'rag' has no attribute '{name}'")
    try:
        return getattr(import_module(_LAZY[name]), name)
    except ImportError as cause:
        from rag.core.house import foreign_error

        if foreign := foreign_error(cause):
            raise foreign from cause
        raise


def __dir__() -> list[str]:
    return sorted(__all__)
