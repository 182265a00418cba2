"""An answer while it is written, and what the run did for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

from rag import tracing
from rag.core.errors import RagError, StageError
from rag.core.node import BoundNode
from rag.core.protocols import close
from rag.core.report import RunResult, node_report
from rag.core.types import Answer, AnswerDelta


class AnswerStream(Iterator[AnswerDelta]):
    """The pieces of one answer; the last piece has no text and carries the whole. Closing it stops the model.

    `before` is the run up to the node that answers, known from the start: rankings, context, seconds. `result` is the
    whole run, once the last piece was given.
    """

    def __init__(self, before: RunResult, pieces: Iterator[AnswerDelta], node: BoundNode) -> None:
        self.before = before
        self.result: RunResult | None = None
        self._pieces, self._node = tracing.streaming(node, before, pieces), node
        self._seconds = 0.0

    def __next__(self) -> AnswerDelta:
        """The next piece.

        Raises:
            StageError: the node failed; the cause is chained.
        """
        begun = perf_counter()
        try:
            delta = next(self._pieces)
        except (RagError, StopIteration):
            raise
        except Exception as error:
            raise StageError(
                f"node '{self._node.name}' ({self._node.use}) failed while streaming: {error}",
                node=self._node.name,
                qid=self.before.queries[0].qid,
            ) from error
        finally:
            self._seconds += perf_counter() - begun
        if delta.answer is not None:
            self.result = self._whole(delta.answer)
        return delta

    def close(self) -> None:
        """Stop writing. What was written stays said; there is no `result` then."""
        close(self._pieces)

    def _whole(self, answer: Answer) -> RunResult:
        report = node_report(self._node.name, self._node.use, self._seconds, 1, [answer])
        return replace(
            self.before,
            outputs=(answer,),
            records={**self.before.records, self._node.name: [answer]},
            nodes=(*self.before.nodes, report),
            seconds=self.before.seconds + self._seconds,
        )
