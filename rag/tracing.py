"""What graphs do, told to whoever records it. Off until asked for.

The plug-in `ragline-tracing` records it as OpenTelemetry spans: a batch that runs through a graph, under it its nodes, under
these the calls of models that the graph names. The functions below `recording` are for the places that are traced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, TypeVar

from rag.core.node import BoundNode
from rag.core.our_plugins import where_it_is
from rag.core.registry import Registry
from rag.core.report import Failure, NodeReport, RunResult
from rag.core.types import AnswerDelta, Query

__all__ = ["TRACES", "BoundNode", "Failure", "NodeReport", "Recorder", "Told", "recorder", "recording"]

T = TypeVar("T")

Told = Callable[..., None]
"""Is told what came of the work, before its span ends."""

TRACES = Registry("trace", {})
"""Ways to keep traces. `file(path, text=...)`, a context manager, is what `--trace` calls."""


class Recorder(Protocol):
    """Records what graphs do. Many threads may use it."""

    def running(
        self, nodes: Sequence[BoundNode], queries: Sequence[Query], output: str
    ) -> AbstractContextManager[Told]:
        """A batch on its way through nodes; is told its RunResult."""
        ...

    def working(self, node: BoundNode, n_in: int, k: int | None) -> AbstractContextManager[Told]:
        """A node at work on a batch; is told its NodeReport, its records and its failures."""
        ...

    def streaming(self, node: BoundNode, before: RunResult, pieces: Iterator[AnswerDelta]) -> Iterator[AnswerDelta]:
        """The same pieces; the node that writes them is at work while they are fetched."""
        ...

    def asking(self, query: Query, pieces: Iterator[T]) -> Iterator[T]:
        """The same pieces; all that is done to get them belongs together."""
        ...

    def watch(self, model: Any, name: str, part: Any) -> None:
        """From now on record what a model is called for. `part`: its entry in the graph, under this name."""
        ...


_OFF: AbstractContextManager[Told] = nullcontext(lambda *what: None)
_recorder: Recorder | None = None


@contextmanager
def recording(by: Recorder) -> Iterator[None]:
    """Have `by` told what graphs do until the block ends. It holds for the whole process."""
    global _recorder
    before, _recorder = _recorder, by
    try:
        yield
    finally:
        _recorder = before


def recorder() -> Recorder | None:
    """What records now; None while tracing is off."""
    return _recorder


def running(nodes: Sequence[BoundNode], queries: Sequence[Query], output: str) -> AbstractContextManager[Told]:
    """See `Recorder`."""
    return _OFF if _recorder is None else _recorder.running(nodes, queries, output)


def working(node: BoundNode, n_in: int, k: int | None) -> AbstractContextManager[Told]:
    """See `Recorder`."""
    return _OFF if _recorder is None else _recorder.working(node, n_in, k)


def streaming(node: BoundNode, before: RunResult, pieces: Iterator[AnswerDelta]) -> Iterator[AnswerDelta]:
    """See `Recorder`."""
    return pieces if _recorder is None else _recorder.streaming(node, before, pieces)


def asking(query: Query, pieces: Iterator[T]) -> Iterator[T]:
    """See `Recorder`."""
    return pieces if _recorder is None else _recorder.asking(query, pieces)


def watch(models: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """From now on have recorded what these models are called for. `parts`: their entries in the graph, by the same names."""
    if _recorder is not None:
        for name, model in models.items():
            _recorder.watch(model, name, parts[name])


def __getattr__(name: str) -> Any:
    if name in ("to_file", "to_provider"):  # moved for one release
        raise ImportError(f"rag.tracing.{name} is ragline_tracing.{name} now. {where_it_is('trace.file')}")
    raise AttributeError(name)
