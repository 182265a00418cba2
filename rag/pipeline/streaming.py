"""An answer while it is written and checked, and what the run did for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, Self

from rag import tracing
from rag.core.errors import RagError, StageError
from rag.core.node import BoundNode
from rag.core.protocols import CanCheckStreams, Checker, close
from rag.core.report import RunResult, node_report, own_work
from rag.core.types import Answer, AnswerDelta


class AnswerStream(Iterator[AnswerDelta]):
    """The pieces of one answer; the last piece has no text and carries the whole. Closing it stops the model.

    `before` is the run up to the node that answers, known from the start: rankings, context, seconds. `result` is the
    whole run, once the last piece was given.
    """

    def __init__(
        self,
        before: RunResult,
        pieces: Iterator[AnswerDelta],
        result: Callable[[], RunResult],
        stop: Callable[[], None],
    ) -> None:
        self.before = before
        self.result: RunResult | None = None
        self._pieces, self._whole, self._stop = pieces, result, stop

    @classmethod
    def through(
        cls,
        before: RunResult,
        pieces: Iterator[AnswerDelta],
        writing: BoundNode,
        checks: Sequence[tuple[BoundNode, Checker]],
    ) -> Self:
        """What a generator writes, through the checks behind it. One that cannot check pieces waits for the whole."""
        steps = [_Step(writing, before, pieces)]
        for node, checker in checks:
            checked = checker.check_stream if isinstance(checker, CanCheckStreams) else _in_one_piece(checker)
            steps.append(_Step(node, before, checked(steps[-1])))

        def stop() -> None:
            for step in reversed(steps):
                step.close()

        return cls(before, steps[-1], lambda: _result(before, steps), stop)

    @classmethod
    def whole(cls, before: RunResult, finish: Callable[[], RunResult]) -> Self:
        """The answer of a generator that cannot stream, in one piece."""
        results: list[RunResult] = []

        def pieces() -> Iterator[AnswerDelta]:
            results.append(finish())
            [answer] = results[0].answers
            yield AnswerDelta(text=answer.text)
            yield AnswerDelta(answer=answer)

        given = pieces()
        return cls(before, given, lambda: results[0], lambda: close(given))

    def __next__(self) -> AnswerDelta:
        """The next piece.

        Raises:
            StageError: a node failed; the cause is chained.
        """
        delta = next(self._pieces)
        if delta.answer is not None:
            self.result = self._whole()
        return delta

    def close(self) -> None:
        """Stop writing. What was written stays said; there is no `result` then."""
        self._stop()


class _Step(Iterator[AnswerDelta]):
    """The pieces that one node gives, the seconds that they were waited for, and the whole answer at the end."""

    def __init__(self, node: BoundNode, before: RunResult, pieces: Iterator[AnswerDelta]) -> None:
        self.node, self.seconds = node, 0.0
        self.answer: Answer | None = None
        self._qid = before.queries[0].qid
        self._pieces = tracing.streaming(node, before, pieces)

    def __next__(self) -> AnswerDelta:
        begun = perf_counter()
        try:
            delta = next(self._pieces)
        except (RagError, StopIteration):
            raise
        except Exception as error:
            message = f"node '{self.node.name}' ({self.node.use}) failed while streaming: {error}"
            raise StageError(message, node=self.node.name, qid=self._qid) from error
        finally:
            self.seconds += perf_counter() - begun
        self.answer = delta.answer or self.answer
        return delta

    def close(self) -> None:
        close(self._pieces)


def _in_one_piece(checker: Checker) -> Callable[[Iterator[AnswerDelta]], Iterator[AnswerDelta]]:
    """A checker of whole answers, as one of pieces: it gives nothing out before the whole was written."""

    def checked(pieces: Iterator[AnswerDelta]) -> Iterator[AnswerDelta]:
        for delta in pieces:
            if delta.answer is not None:
                [answer] = checker.check([delta.answer])
                yield AnswerDelta(text=answer.text)
                yield AnswerDelta(answer=answer)

    return checked


def _result(before: RunResult, steps: Sequence[_Step]) -> RunResult:
    """The whole run. A step waits for the one before it, whose seconds are not its own."""
    reports, records, waited, given = list(before.nodes), dict[str, list[Any]](), 0.0, list[Answer]()
    for step in steps:
        answers = [step.answer] if step.answer is not None else []
        own = own_work(answers, given) if given else answers
        reports.append(node_report(step.node.name, step.node.use, step.seconds - waited, 1, own))
        records[step.node.name], waited, given = answers, step.seconds, answers
    return replace(
        before,
        outputs=tuple(given),
        records={**before.records, **records},
        nodes=tuple(reports),
        seconds=before.seconds + waited,
    )
