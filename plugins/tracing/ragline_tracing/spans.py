"""Spans of a graph at work, with OpenTelemetry's names for generative AI where it has one and ours, `ragline.*`, elsewhere.

Source of the names: OpenTelemetry semantic conventions for generative AI, status "development". Spans hold text only when
asked to: neither questions, passages and answers, nor the messages of errors, which may quote them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from time import perf_counter
from typing import Any, TypeVar

from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider, use_span

from rag.graphs import RunResult
from rag.protocols import Closable
from rag.tracing import BoundNode, Failure, NodeReport, Told
from rag.types import Answer, AnswerDelta, Context, Query, Ranking, Usage

T = TypeVar("T")
Attributes = Mapping[str, Any]

MOST_QIDS = 64
MOST_TEXTS = 20
"""Records of a batch whose text goes into a span, where text is asked for."""

OPERATION = "gen_ai.operation.name"
_OPERATIONS = {"retrieve": "retrieval"}  # the other stages are called what they are


class Spans:
    """A `rag.tracing.Recorder` that makes spans. Many threads may use it; a span's parent is what the calling thread's
    context says."""

    def __init__(self, provider: TracerProvider, *, text: bool) -> None:
        self._tracer = provider.get_tracer("ragline", version("ragline"))
        self.text = text

    @contextmanager
    def running(self, nodes: Sequence[BoundNode], queries: Sequence[Query], output: str) -> Iterator[Told]:
        attributes = {
            OPERATION: "invoke_workflow",
            "ragline.output": output,
            "ragline.nodes": [node.name for node in nodes],
            "ragline.queries": len(queries),
            "ragline.qids": [query.qid for query in queries[:MOST_QIDS]],
        }
        with self.span(f"run {output}", attributes) as span:

            def tell(result: RunResult) -> None:
                self._tell_failures(span, result.failures)

            yield tell

    @contextmanager
    def working(self, node: BoundNode, n_in: int, k: int | None) -> Iterator[Told]:
        with self.span(*_described(node, n_in, k)) as span:

            def tell(report: NodeReport, records: Sequence[Any], failures: Sequence[Failure]) -> None:
                span.set_attributes(_reported(report, records))
                self._tell_failures(span, failures)
                self._tell_texts(span, records)

            yield tell

    def streaming(
        self, node: BoundNode, before: RunResult, pieces: Iterator[AnswerDelta]
    ) -> Generator[AnswerDelta, None, None]:
        name, attributes = _described(node, 1, None)
        qids = [query.qid for query in before.queries]
        span = self.begin(name, {**attributes, "gen_ai.request.stream": True, "ragline.qids": qids})

        def tell(delta: AnswerDelta) -> None:
            if delta.answer is not None:
                span.set_attributes(_used(delta.answer.usage))
                span.set_attribute(f"ragline.outcome.{delta.answer.outcome.kind}", 1)
                self._tell_texts(span, [delta.answer])

        return self.follow(span, pieces, tell)

    def asking(self, query: Query, pieces: Iterator[T]) -> Generator[T, None, None]:
        span = self.begin("ask", {OPERATION: "invoke_workflow", "ragline.qids": [query.qid]})
        return self.follow(span, pieces)

    def watch(self, model: Any, name: str, part: Any) -> None:
        from ragline_tracing.calls import watch_calls

        watch_calls(model, name, part)

    @contextmanager
    def span(self, name: str, attributes: Attributes, *, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
        """A span that is current while the block runs."""
        span = self.begin(name, attributes, kind=kind)
        with self._current(span):
            try:
                yield span
            except Exception as error:
                self.failed(span, error)
                raise
            finally:
                span.end()

    def begin(self, name: str, attributes: Attributes, *, kind: SpanKind = SpanKind.INTERNAL) -> Span:
        """A span under the current one. Whoever begins it ends it."""
        return self._tracer.start_span(name, kind=kind, attributes=attributes)

    def failed(self, span: Span, error: BaseException) -> None:
        """Mark a span. The message of the error goes with it only where text is asked for."""
        self._mark(span, type(error).__qualname__, str(error))

    def follow(
        self, span: Span, pieces: Iterator[T], tell: Callable[[T], None] = lambda piece: None
    ) -> Generator[T, None, Any]:
        """The same pieces, and what they return. The span is current while one is fetched, not while its reader works."""
        begun, first = perf_counter(), True
        try:
            while True:
                with self._current(span):
                    try:
                        piece = next(pieces)
                    except StopIteration as end:
                        return end.value
                if first:
                    span.set_attribute("gen_ai.response.time_to_first_chunk", perf_counter() - begun)
                    first = False
                tell(piece)
                yield piece
        except GeneratorExit:
            span.set_attribute("ragline.stopped", True)
            raise
        except Exception as error:
            self.failed(span, error)
            raise
        finally:
            if isinstance(pieces, Closable):
                pieces.close()
            span.end()

    def _mark(self, span: Span, kind: str, message: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(StatusCode.ERROR, message if self.text else None)

    def _current(self, span: Span) -> Any:
        return use_span(span, record_exception=False, set_status_on_exception=False)

    def _tell_failures(self, span: Span, failures: Sequence[Failure]) -> None:
        if failures:
            span.set_attribute("ragline.failures", len(failures))
            kind, _, message = failures[0].error.partition(": ")
            self._mark(span, kind, message)

    def _tell_texts(self, span: Span, records: Sequence[Any]) -> None:
        for record in records[:MOST_TEXTS] if self.text else ():
            span.add_event("ragline.record", {"ragline.qid": record.qid, **_texts(record)})


def _described(node: BoundNode, n_in: int, k: int | None) -> tuple[str, Attributes]:
    """The name of a node's span and what is known before it works."""
    operation = _OPERATIONS.get(node.stage, node.stage)
    attributes: dict[str, Any] = {
        OPERATION: operation,
        "ragline.node": node.name,
        "ragline.component": node.use,
        "ragline.inputs": list(node.inputs),
        "ragline.records.in": n_in,
    }
    if k is not None:
        attributes["ragline.k"] = k
    if k is not None and node.stage == "retrieve":
        attributes["gen_ai.request.top_k"] = float(k)
    return f"{operation} {node.name}", attributes


def _reported(report: NodeReport, records: Sequence[Any]) -> Attributes:
    """What a node says of its work on a batch."""
    return {
        "ragline.records.out": report.n_out,
        "ragline.hits": sum(len(record.hits) for record in records if isinstance(record, Ranking)),
        **_used(report.usage),
        **{f"ragline.outcome.{kind}": n for kind, n in report.outcomes.items()},
        **{f"ragline.count.{name}": n for name, n in report.counts.items()},
    }


def _used(usage: Usage) -> Attributes:
    return {
        "ragline.calls": usage.calls,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.new_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
    }


def _texts(record: Any) -> Attributes:
    """A record in words, cut by the span's limits."""
    if isinstance(record, Query):
        return {"gen_ai.retrieval.query.text": record.text}
    if isinstance(record, Answer):
        said = [{"role": "assistant", "parts": [{"type": "text", "content": record.text}]}]
        return {"gen_ai.retrieval.query.text": record.query.asked, "gen_ai.output.messages": json.dumps(said)}
    hits = record.passages if isinstance(record, Context) else record.hits
    documents = json.dumps([{"id": hit.doc_id, "score": hit.score} for hit in hits])
    return {"gen_ai.retrieval.query.text": record.query.text, "gen_ai.retrieval.documents": documents}
