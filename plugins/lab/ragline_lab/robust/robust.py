"""All ways on all contexts of all questions, one model after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from rag.evaluate import BATCH, Dataset, cached_index, opened
from rag.files import Progress, held, silent
from rag.graphs import Graph, Made, Part, Pipeline, RunResult, apart, graph_identity, index_identity
from rag.indexes import Index
from rag.protocols import CanRelease
from ragline_lab.resumed import open_lines
from ragline_lab.robust.questions import CONTEXTS, ZERO, Question, load_questions, verdict_of, write_documents
from ragline_lab.robust.report import RobustReport, Tried, report_of
from ragline_lab.robust.ways import UNDEFENDED, Way
from ragline_lab.robust.work import Line, Work, key_of
from ragline_lab.robust.written import write_report

DOCUMENTS = "documents"
"""The folder of the corpus that the documents of the questions make."""


def robust(
    questions: Path,
    ways: Sequence[Way],
    *,
    out: Path,
    baseline: str = UNDEFENDED,
    limit: int | None = None,
    language: str = "en",
    command: Sequence[str] = (),
    progress: Progress = silent,
) -> RobustReport:
    """Ask every question in every way with every context that it has documents for, and compare the ways.

    What is answered is kept in `out`, and the same call goes on with it. All documents of the file are one index, whatever
    the limit; a filter shows a question those of its context. A question without a document that a context needs is skipped
    there, and counted.

    Args:
        questions: see `ragline_lab.robust.questions`.
        ways: as `ways_of` gives them: those of a model stand together, and share it.
        out: folder to write: lines.jsonl, robust.json, robust.md, robust.html, documents/.
        baseline: the undefended way, of each model.
        limit: only so many questions, those whose ids have the lowest hashes.
        language: ISO 639-1 code of the answers.
        command: the words that were typed for this, which the report keeps.
    Raises:
        SpecError: a line of the file is wrong, or the folder cannot be written or is damaged.
    """
    chosen = load_questions(questions)[:limit]
    with held(out), open_lines(out) as log:
        corpus = write_documents(questions, out / DOCUMENTS)
        data = Dataset(name=questions.name, folder=out / DOCUMENTS, corpus=(corpus,)) if corpus else None
        run = _Run(questions=chosen, data=data, work=Work(log), language=language, progress=progress)
        tried = [each for _, same in groupby(ways, key=lambda way: way.model) for each in run.of_model(list(same))]
        report = report_of(
            tried,
            name=questions.name,
            questions=len(chosen),
            without_documents=sum(not question.documents for question in chosen),
            baseline=baseline,
            command=command,
        )
        write_report(report, out)
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What runs ways on questions and keeps what they gave. `data`: the documents; None where there are none."""

    questions: Sequence[Question]
    data: Dataset | None
    work: Work
    language: str
    progress: Progress

    def of_model(self, ways: Sequence[Way]) -> Iterator[Tried]:
        """All ways of one model. Graphs share the models that are the same in them, and let them go at the end."""
        shared: list[tuple[Part, Made]] = []
        for way in ways:
            if way.reads and self.data is None:
                continue
            index = self._index(way)
            models = way.spec.graph.models
            kept = {f"models.{name}": made for name, part in models.items() for other, made in shared if other == part}
            with nullcontext() if index is None else index, opened(way.spec, index, kept=kept) as pipeline:
                facts = {name: pipeline.graph.facts[f"models.{name}"] for name in models}
                shared += [(models[name], made) for name, made in facts.items() if f"models.{name}" not in kept]
                yield from self._of_way(way, pipeline, index)
        for _, made in shared:
            if isinstance(made.part, CanRelease):
                made.part.release()

    def _index(self, way: Way) -> Index | None:
        graph = way.spec.graph
        if self.data is None or not graph.ranks:
            return None
        return cached_index(self.data, graph, graph.index, progress=self.progress)

    def _of_way(self, way: Way, pipeline: Pipeline, index: Index | None) -> Iterator[Tried]:
        key = partial(key_of, graph=graph_identity(pipeline.graph), index=index_identity(index), language=self.language)
        for context in [name for name in CONTEXTS if way.reads is not (name == ZERO)]:
            asked = [question for question in self.questions if CONTEXTS[context].is_of(question)]
            keys = {question.qid: key(question, context) for question in asked}
            missing = [question for question in asked if self.work.get(keys[question.qid]) is None]
            for start in range(0, len(missing), BATCH):
                batch = missing[start : start + BATCH]
                lines = self._answered(way, context, batch, pipeline)
                self.work.keep({keys[qid]: line for qid, line in lines.items()})
                self.progress(f"{way.model}, {way.name}, {context}", start + len(batch), len(missing))
            done = {qid: line for qid, key_ in keys.items() if (line := self.work.get(key_)) is not None}
            yield Tried(
                model=way.model,
                way=way.name,
                context=context,
                skipped=len(self.questions) - len(asked),
                lines=done,
            )

    def _answered(
        self, way: Way, context: str, batch: Sequence[Question], pipeline: Pipeline
    ) -> dict[str, tuple[Line, Mapping[str, Any]]]:
        """qid -> its line, and what it is the line of."""
        kind = CONTEXTS[context]
        results = apart(pipeline.run(list(map(kind.query, batch))))
        about = {"model": way.model, "way": way.name, "context": context}
        return {
            question.qid: (
                self._line(question, result, pipeline.graph, given=kind.given(question)),
                {**about, "id": question.qid, "answer": result.answers[0].text},
            )
            for question, result in zip(batch, results, strict=True)
        }

    def _line(self, question: Question, result: RunResult, graph: Graph, *, given: int) -> Line:
        [answer] = result.answers
        usage = [node.usage for node in result.nodes if _asks_a_model(node.name, graph)]
        return Line(
            verdict=verdict_of(answer, question, language=self.language),
            given=given,
            shown=len({hit.document.parent for hit in answer.context.passages}),
            calls=sum(each.calls for each in usage),
            read=sum(each.prompt_tokens for each in usage),
            written=sum(each.new_tokens for each in usage),
        )


def _asks_a_model(node: str, graph: Graph) -> bool:
    """Whether a node, also one of an inner graph, was given a model of the graph. Encoders count calls too, and are none."""
    facts = graph.facts.get(node) or graph.facts.get("/".join(node.split("/")[-2:]))
    return facts is None or bool(facts.models)
