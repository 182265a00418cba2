"""A file of questions through a graph: batches in flight, a commit as soon as an answer is there, a forecast and a ledger."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import Any

from rag.batch.checking import require_good, require_unchanged
from rag.batch.done import BatchDone, batch_done
from rag.batch.elsewhere import through_cluster
from rag.batch.folder import LEDGER, RunFolder, open_folder
from rag.core.access import Asker
from rag.core.as_they_come import as_they_come
from rag.core.clusters import Cluster
from rag.core.errors import SpecError
from rag.core.files import write_atomically
from rag.core.progress import Progress, silent
from rag.core.report import NodeReport, reports_of
from rag.core.types import Query, Where
from rag.pipeline import BATCH, Pipeline
from rag.pipeline.provenance import PROVENANCE, UNKNOWN, Provenance, provenance_of, read_provenance, write_provenance
from rag.pipeline.questions import numbered_questions
from rag.pipeline.side_by_side import writes_side_by_side, written_side_by_side

logger = logging.getLogger(__name__)

FIRST_BATCH = 20
"""Questions of the first batch, so that the forecast comes soon; by stage it is as large as the others."""
BATCH_BY_STAGE = 1024
WORKERS = 2
"""Batches in the graph at a time, where nobody says how many; by stage it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is left to do, judged by the first answers: as many as the first batch has questions.

    Others were being written beside them: they slowed them down, and are not counted. So `seconds` errs on the long side.
    `tokens` errs only as far as the first questions are unlike the rest.
    """

    n_left: int
    seconds: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What one call did. `n_kept`: questions that an earlier call had finished, or had failed on and left alone."""

    out: Path
    n_kept: int = 0
    n_answered: int = 0
    n_failed: int = 0
    seconds: float = 0.0
    nodes: tuple[NodeReport, ...] = ()

    @property
    def n_new(self) -> int:
        """Questions that came to their end in this call."""
        return self.n_answered + self.n_failed

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "kept": self.n_kept,
            "answered": self.n_answered,
            "failed": self.n_failed,
            "seconds": round(self.seconds, 4),
            "nodes": [node.as_dict() for node in self.nodes],
        }


def run_batch(
    questions: str | Path,
    pipeline: Pipeline,
    *,
    out: str | Path,
    resume: bool = False,
    retry_failed: bool = False,
    workers: int | None = None,
    batch: int | None = None,
    limit: int | None = None,
    where: Where | None = None,
    asker: Asker | None = None,
    cluster: Cluster | None = None,
    progress: Progress = silent,
    forecast: Callable[[Forecast], None] | None = None,
) -> BatchReport:
    """Answer every question of a file and commit each answer once, as soon as it is there (docs/decisions/0003-batch.md).

    Questions of a batch are searched for together. Where the model puts into one batch what several threads ask of it
    (`rag.pipeline.side_by_side`), each is then answered for itself, beside the others; else they are answered in one call.

    Args:
        resume: go on with the run in `out`; what is committed there is neither asked nor written again.
        retry_failed: ask failed questions of that run again too.
        workers: batches in the graph at a time; no more are in memory. None: 2, or 1 where the pipeline works by stage,
            which takes no more. A cluster has its own measure.
        batch: questions in a batch. None: 64, or 1,024 by stage, where each batch loads every model once.
        limit: only the first questions of the file.
        where: a metadata filter for all questions, beside those of their lines.
        asker: who asks the questions whose lines do not say it (`asker`).
        cluster: work on its machines; lines are still committed by this process. Default: work in this process.
        progress: is told at the start, and whenever answers were committed.
        forecast: is told once, after the first answers.
    Raises:
        SpecError: the file, the folder or the graph is not fit for this; see `open_folder` and
            `read_questions`. A bad line is told before the first question is asked.
        MissingModel, IndexProblem, ...: what would hit all questions alike ends the run; committed answers stay, and
            those that were being written beside it are committed first.
    """
    workers, batch = _sizes(pipeline.by_stage, workers, batch)
    _require_fit(pipeline, cluster)
    path = Path(questions)
    questions_of = partial(numbered_questions, path, limit=limit, where=where, asker=asker)
    n_questions = require_good(questions_of(), path, pipeline, where=where)
    with open_folder(Path(out), pipeline, resume=resume or retry_failed) as folder:
        n_kept = 0
        if not folder.is_empty:
            require_unchanged(questions_of(), path, folder)
            n_kept = sum(folder.is_finished(query, retry_failed=retry_failed) for _, query in questions_of())
        made_by = read_provenance(folder.path) or (() if folder.is_empty else (UNKNOWN,))
        run = _Run(folder, pipeline, retry_failed, n_questions, n_kept, made_by, progress, forecast)
        try:
            run.work((query for _, query in questions_of()), workers=workers, batch=batch, cluster=cluster)
        except KeyboardInterrupt:
            kept = f"{len(folder.answers):,} answers are kept in '{out}'; go on with --resume"
            raise KeyboardInterrupt(f"interrupted: {kept}") from None
        finally:
            _write_ledger(folder.path / LEDGER, run.report)
        return run.report


def _write_ledger(path: Path, report: BatchReport) -> None:
    """What the call cost. Where it cannot be written the log says so: the answers are there all the same."""
    try:
        write_atomically(path, json.dumps(report.as_dict(), indent=1) + "\n")
    except OSError as error:
        logger.warning("%s was not written: %s", path, error.strerror)


def _sizes(by_stage: bool, workers: int | None, batch: int | None) -> tuple[int, int]:
    """Batches at a time, and questions in a batch."""
    workers = (1 if by_stage else WORKERS) if workers is None else workers
    batch = (BATCH_BY_STAGE if by_stage else BATCH) if batch is None else batch
    if workers < 1 or batch < 1:
        raise SpecError(f"workers and batch must be at least 1, got {workers} and {batch}")
    if by_stage and workers > 1:
        raise SpecError(f"by stage, one batch is in the graph at a time; workers must be 1, got {workers}")
    return workers, batch


def _require_fit(pipeline: Pipeline, cluster: Cluster | None) -> None:
    if pipeline.by_stage and cluster is not None:
        raise SpecError("a cluster keeps each stage in actors of its own; by stage is for one process")
    if not pipeline.graph.answers:
        raise SpecError(f"{pipeline.spec.source.name} ends in rankings, not answers: there is nothing to commit")


class _Run:
    """One call of `run_batch`, while it goes on."""

    def __init__(
        self,
        folder: RunFolder,
        pipeline: Pipeline,
        retry_failed: bool,
        n_questions: int,
        n_kept: int,
        made_by: Sequence[Provenance],
        progress: Progress,
        forecast: Callable[[Forecast], None] | None,
    ) -> None:
        self._folder, self._pipeline, self._retry_failed = folder, pipeline, retry_failed
        self._n_questions, self._progress, self._forecast = n_questions, progress, forecast
        self._made_by = made_by
        self.report = BatchReport(out=folder.path, n_kept=n_kept)

    def work(self, questions: Iterator[Query], *, workers: int, batch: int, cluster: Cluster | None) -> None:
        first_size = batch if self._pipeline.by_stage else min(FIRST_BATCH, batch)
        later = _batches(self._unfinished(questions), first=first_size, size=batch)
        first = next(later, None)
        if first is None:
            return
        batches = chain([first], later)
        self._show()
        if cluster is None:
            self._pipeline.warm_up()
        begun = perf_counter()
        # Closed here: who is interrupted waits for what was begun, before its models and its index go.
        with closing(self._here(batches, workers) if cluster is None else self._on(cluster, batches)) as done:
            for finished in done:
                before = self.report.n_new
                self._commit(finished, seconds=perf_counter() - begun)
                if before == 0 < self.report.n_new:
                    self._keep_provenance(cluster)
                if before < len(first) <= self.report.n_new:
                    self._tell_forecast()

    def _here(self, batches: Iterable[list[Query]], workers: int) -> Generator[list[BatchDone], None, None]:
        """In this process. The first batch is small, so that the forecast comes soon, but no engine waits for it."""
        return as_they_come(self._done, batches, threads=workers)

    def _done(self, batch: list[Query]) -> Iterator[BatchDone]:
        """What a batch comes to: at once, or what its search cost and then a piece for every answer."""
        pipeline, identities = self._pipeline, self._folder.identities
        if not writes_side_by_side(pipeline):
            yield batch_done(pipeline.run(batch, batch=len(batch)), identities)
            return
        prepared = pipeline.prepare(batch)
        searched = reports_of(prepared)
        yield BatchDone(nodes=searched)
        for written in written_side_by_side(pipeline, prepared):
            for one in written:
                yield batch_done(one, identities, told=len(searched))

    def _on(self, cluster: Cluster, batches: Iterable[list[Query]]) -> Generator[list[BatchDone], None, None]:
        for done in through_cluster(batches, self._pipeline, self._folder.identities, cluster):
            yield [done]

    def _unfinished(self, questions: Iterator[Query]) -> Iterator[Query]:
        is_finished = self._folder.is_finished
        return (query for query in questions if not is_finished(query, retry_failed=self._retry_failed))

    def _commit(self, finished: Sequence[BatchDone], *, seconds: float) -> None:
        answers = [line for done in finished for line in done.answers]
        failures = [line for done in finished for line in done.failures]
        self._folder.answers.commit(answers)
        # One that fails again keeps the line of its first failure.
        self._folder.failures.commit([line for line in failures if line["key"] not in self._folder.failures.keys])
        before = self.report
        self.report = replace(
            before,
            n_answered=before.n_answered + len(answers),
            n_failed=before.n_failed + len(failures),
            seconds=seconds,
            nodes=reduce(_added, (done.nodes for done in finished), before.nodes),
        )
        if self.report.n_new > before.n_new:
            self._show()

    def _show(self) -> None:
        self._progress("questions", self.report.n_kept + self.report.n_new, self._n_questions)

    def _keep_provenance(self, cluster: Cluster | None) -> None:
        """Write which facts the first answers of this call were made with, now that the models have worked."""
        index = self._pipeline.index
        origin = {"kind": "rag batch", "index": None if index is None else index.address}
        now = provenance_of(self._pipeline.graph, index, origin=origin, elsewhere=cluster is not None)
        try:
            write_provenance([*self._made_by, now], self._folder.path)
        except OSError as error:
            logger.warning("%s was not written: %s", self._folder.path / PROVENANCE, error.strerror)

    def _tell_forecast(self) -> None:
        n_left = self._n_questions - self.report.n_kept - self.report.n_new
        if self._forecast is None or n_left <= 0:
            return
        tokens = sum(node.usage.prompt_tokens + node.usage.new_tokens for node in self.report.nodes)
        share = n_left / self.report.n_new
        self._forecast(Forecast(n_left=n_left, seconds=self.report.seconds * share, tokens=round(tokens * share)))


def _batches(questions: Iterator[Query], *, first: int, size: int) -> Iterator[list[Query]]:
    if batch := list(islice(questions, first)):
        yield batch
    while batch := list(islice(questions, size)):
        yield batch


def _added(before: Sequence[NodeReport], now: Sequence[NodeReport]) -> tuple[NodeReport, ...]:
    known = {report.name: report for report in before}
    for report in now:
        known[report.name] = known[report.name] + report if report.name in known else report
    return tuple(known.values())
