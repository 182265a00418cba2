"""Runs of any kind -> values per query: a TREC run, the folder of an evaluation or of a batch, a table of values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from rag.core.errors import SpecError
from rag.core.lines import records
from rag.core.run_files import RunFile
from rag.core.trec import read_run
from rag.core.types import Answer, Citation, Context, Document, Query, ScoredDocument
from rag.evaluate.answers import evaluate_answers
from rag.evaluate.measures import Evaluation, evaluate
from rag.evaluate.report import read_per_query
from rag.evaluate.scope import Plan

_NOTHING = Evaluation(measures={}, per_query={}, n_queries=0)


def measured_run(run: Path, plan: Plan | None = None, *, language: str = "en") -> Evaluation:
    """The values per query of a run.

    Args:
        run: the folder of `rag eval`, or its table of values, which were measured when it was made; the folder of `rag batch`,
            whose answers are measured now; or a TREC run, whose rankings are.
        plan: what is measured now is measured by; not looked at otherwise. `language`: of answers, ISO 639-1.
    Raises:
        SpecError: it is none of these, or there is nothing to measure it by.
    """
    if is_measured(run):
        return _of_table(run / RunFile.PER_QUERY if run.is_dir() else run)
    if run.is_dir() and not (run / RunFile.ANSWERS).is_file():
        raise SpecError(
            f"'{run}' has neither {RunFile.PER_QUERY} nor {RunFile.ANSWERS}: it is no folder of rag eval or rag batch"
        )
    if plan is None:
        what = "its answers are" if run.is_dir() else "a TREC run is"
        raise SpecError(f"'{run}': {what} measured by a data set; name one with --dataset")
    return _of_answers(run / RunFile.ANSWERS, plan, language) if run.is_dir() else _of_rankings(run, plan)


def is_measured(run: Path) -> bool:
    """Whether a run holds its values, so that nothing is needed to measure it by."""
    table = run / RunFile.PER_QUERY if run.is_dir() else run
    return table.suffix == ".csv" and table.exists()


def _of_table(table: Path) -> Evaluation:
    columns = {name: values for name, values in read_per_query(table).items() if values}
    qids = {qid for values in columns.values() for qid in values}
    means = {name: fmean(values.values()) for name, values in columns.items()}
    return Evaluation(measures=means, per_query=columns, n_queries=len(qids))


def _of_rankings(file: Path, plan: Plan) -> Evaluation:
    run, qrels = read_run(file), plan.qrels
    if not plan.retrieval:
        return _NOTHING
    if not set(run) & set(qrels):
        raise SpecError(f"{file}: no query of this run is among the {len(qrels)} that were evaluated")
    order = {qid: [doc_id for doc_id, _ in run.get(qid, ())] for qid in qrels}
    return evaluate(order, qrels, plan.retrieval)


def _of_answers(file: Path, plan: Plan, language: str) -> Evaluation:
    if not plan.items:
        raise SpecError(f"{file}: the data set has no questions with known answers to measure these by")
    answers = list(_answers(file))
    if not {answer.qid for answer in answers} & {item.qid for item in plan.items}:
        raise SpecError(f"{file}: no question of this run is among the {len(plan.items)} of the data set")
    return evaluate_answers(answers, plan.items, plan.answers, language=language)


def _answers(file: Path) -> Iterator[Answer]:
    """The answers that a file of lines tells of, with the ids of their passages."""
    for number, line in records(file):
        try:
            yield _answer(line)
        except (KeyError, TypeError, AttributeError) as cause:
            raise SpecError(f"{file}:{number}: no line of an answer, as rag batch writes them: {cause!r}") from None


def _answer(line: dict[str, Any]) -> Answer:
    query = Query(qid=str(line["id"]), text=str(line["question"]))
    passages = tuple(
        ScoredDocument(document=Document(doc_id=str(doc_id), text=""), score=0.0) for doc_id in line["passages"]
    )
    return Answer(
        query=query,
        text=str(line["answer"]),
        context=Context(query=query, passages=passages),
        citations=tuple(Citation(**citation) for citation in line["citations"]),
        status=line["status"],
        finish_reason=str(line["finish_reason"]),
    )
