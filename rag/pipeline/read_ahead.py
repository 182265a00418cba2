"""What rerankers can read of an index before anybody asks."""

from __future__ import annotations

from rag.core.errors import SpecError
from rag.core.progress import Progress, silent
from rag.core.protocols import CanReadAhead
from rag.pipeline.pipeline import Pipeline


def read_ahead(pipeline: Pipeline, *, progress: Progress = silent) -> dict[str, int]:
    """Let every stage of a graph that can read the index's documents now do so; node -> documents newly read.

    Raises:
        SpecError: the graph has no such stage, or one that keeps nothing, or no index.
    """
    readers = {name: part for name, part in pipeline.graph.parts.items() if isinstance(part, CanReadAhead)}
    if not readers or pipeline.index is None:
        raise SpecError(
            f"{pipeline.spec.source.name} has nothing to read ahead: that takes an index and a stage that keeps what it "
            "read, such as rerank.attention with keep: disk"
        )
    documents = pipeline.index.documents
    return {name: part.read_ahead(documents, progress=progress) for name, part in readers.items()}
