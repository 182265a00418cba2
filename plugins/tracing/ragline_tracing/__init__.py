"""What graphs do, as OpenTelemetry spans. Off until asked for.

    with ragline_tracing.to_file("trace.jsonl"):
        load_pipeline("ask", index="notes-index").ask("When does the certificate expire?")

A span for each batch that runs through a graph, under it one for each node, under that one for each call of a model that
the graph names: docs/plugins/tracing.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rag.tracing import recording

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["to_file", "to_provider"]


@contextmanager
def to_file(path: str | Path, *, text: bool = False) -> Iterator[None]:
    """Append spans to a file of JSON lines (`ragline_tracing.lines`) until the block ends.

    Pipelines that are made inside the block also trace their models' calls.

    Args:
        text: also what was asked, found and written; else spans hold names, numbers and qids alone.
    Raises:
        SpecError: the file cannot be written.
    """
    from ragline_tracing.lines import provider_for

    provider = provider_for(Path(path))
    try:
        with to_provider(provider, text=text):
            yield
    finally:
        provider.shutdown()


@contextmanager
def to_provider(provider: TracerProvider, *, text: bool = False) -> Iterator[None]:
    """Send spans to your own OpenTelemetry set-up until the block ends. It holds for the whole process."""
    from ragline_tracing.spans import Spans

    with recording(Spans(provider, text=text)):
        yield
