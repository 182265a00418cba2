"""Answers of a batch that are known one by one: streams, or calls of a question each, that are open side by side."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from rag.core.as_they_come import as_they_come
from rag.core.llm_protocols import CanStreamTogether, JoinsCalls
from rag.core.protocols import AsksModel, CanStreamAnswers
from rag.core.report import RunResult
from rag.core.stopping import unwanted
from rag.graph.run import NOT_AN_ITEMS_FAULT
from rag.pipeline.pipeline import Pipeline
from rag.pipeline.release import keep_only

logger = logging.getLogger(__name__)

_MOST = 256
"""Questions that are open at a time; engines take fewer of them into one pass."""


def writes_side_by_side(pipeline: Pipeline) -> bool:
    """Whether the questions of a batch may be answered side by side at the price of the batch.

    That hangs on the model which writes: it must put into one batch what several threads ask of it. By stage, what writes
    must be the last of all, for a check behind it works when the writer has let go of its memory.
    """
    writer = pipeline.graph.writer
    if not isinstance(writer, AsksModel):
        return False
    llm, streams = writer.llm, isinstance(writer, CanStreamAnswers)
    if pipeline.by_stage and not (streams and len(pipeline.graph.answering) == 1):
        return False
    if streams and isinstance(llm, CanStreamTogether) and llm.streams_together:
        return True
    return isinstance(llm, JoinsCalls) and llm.joins_calls


def written_side_by_side(pipeline: Pipeline, prepared: Sequence[RunResult]) -> Generator[list[RunResult], None, None]:
    """The whole runs of prepared questions, each as soon as it is done; those that are done at once come together.

    Only for pipelines that `writes_side_by_side` holds of. Closing it ends the writing.

    Raises:
        SpecError, MissingDependency, MissingModel, IndexProblem: what would hit every question alike. Answers that were
            being written come first.
    """
    if pipeline.by_stage:
        keep_only(pipeline.graph, pipeline.index, pipeline.graph.answering[0].name)

    def written(one: RunResult) -> Iterator[RunResult]:
        yield _written(pipeline, one)

    return as_they_come(written, prepared, threads=_MOST)


def _written(pipeline: Pipeline, one: RunResult) -> RunResult:
    """One answer. A stream that breaks off is begun once more, as a call: what fails then is told as of a batch."""
    if not one.failures and isinstance(pipeline.graph.writer, CanStreamAnswers):
        try:
            with closing(pipeline.begin(one)) as stream:
                for _ in stream:
                    pass
            if stream.result is not None:
                return stream.result
        except NOT_AN_ITEMS_FAULT:
            raise
        except Exception as error:
            if unwanted():
                raise
            logger.warning("qid %r is asked once more: its stream broke off (%s)", one.queries[0].qid, error)
    [result] = pipeline.finish([one])
    return result
