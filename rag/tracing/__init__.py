"""What graphs do, as OpenTelemetry spans. Off until asked for; while it is off, nothing of OpenTelemetry is imported.

    with tracing.to_file("trace.jsonl"):
        load_pipeline("ask", index="notes-index").ask("When does the certificate expire?")

A span for each batch that runs through a graph, under it one for each node, under that one for each call of a model that
the graph names: docs/reference/tracing.md. The functions below `to_provider` are for the places that are traced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rag.core.optional import need

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from rag.core.node import BoundNode
    from rag.core.report import RunResult
    from rag.core.types import AnswerDelta, Query
    from rag.tracing.spans import Recorder

T = TypeVar("T")

Told = Callable[..., None]
"""Is told what came of the work, before its span ends."""

_OFF: AbstractContextManager[Told] = nullcontext(lambda *what: None)
_recorder: Recorder | None = None


@contextmanager
def to_file(path: str | Path, *, text: bool = False) -> Iterator[None]:
    """Append spans to a file of JSON lines (`rag.tracing.lines`) until the block ends.

    Pipelines that are made inside the block also trace their models' calls.

    Args:
        text: also what was asked, found and written; else spans hold names, numbers and qids alone.
    Raises:
        MissingDependency: opentelemetry-sdk is not installed.
        SpecError: the file cannot be written.
    """
    for module in ("opentelemetry", "opentelemetry.sdk"):
        need(module, by="tracing", extra="serve")
    from rag.tracing.lines import provider_for

    provider = provider_for(Path(path))
    try:
        with to_provider(provider, text=text):
            yield
    finally:
        provider.shutdown()


@contextmanager
def to_provider(provider: TracerProvider, *, text: bool = False) -> Iterator[None]:
    """Send spans to your own OpenTelemetry set-up until the block ends. It holds for the whole process."""
    global _recorder
    from rag.tracing.spans import Recorder

    before, _recorder = _recorder, Recorder(provider, text=text)
    try:
        yield
    finally:
        _recorder = before


def recorder() -> Recorder | None:
    """What records now; None while tracing is off."""
    return _recorder


def running(nodes: Sequence[BoundNode], queries: Sequence[Query], output: str) -> AbstractContextManager[Told]:
    """A batch on its way through nodes; is told its RunResult."""
    return _OFF if _recorder is None else _recorder.running(nodes, queries, output)


def working(node: BoundNode, n_in: int, k: int | None) -> AbstractContextManager[Told]:
    """A node at work on a batch; is told its NodeReport, its records and its failures."""
    return _OFF if _recorder is None else _recorder.working(node, n_in, k)


def streaming(node: BoundNode, before: RunResult, pieces: Iterator[AnswerDelta]) -> Iterator[AnswerDelta]:
    """The same pieces; the node that writes them is at work while they are fetched."""
    return pieces if _recorder is None else _recorder.streaming(node, before, pieces)


def asking(query: Query, pieces: Iterator[T]) -> Iterator[T]:
    """The same pieces; all that is done to get them is under one span."""
    return pieces if _recorder is None else _recorder.asking(query, pieces)


def watch(models: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """From now on trace what these models are called for. `parts`: their entries in the graph, by the same names."""
    if _recorder is None:
        return
    from rag.tracing.calls import watch_calls

    for name, model in models.items():
        watch_calls(model, name, parts[name])
