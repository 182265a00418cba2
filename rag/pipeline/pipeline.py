"""A graph bound to an index: what Python programs use."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from rag import tracing
from rag.core.access import Asker
from rag.core.arguments import knows_its_arguments
from rag.core.content_forms import in_words
from rag.core.errors import SpecError, StageError, did_you_mean
from rag.core.filters import asked_by, parse_where
from rag.core.node import BoundNode
from rag.core.protocols import CanSample, CanStreamAnswers, CanWarmUp
from rag.core.report import RunResult, apart, merged
from rag.core.types import Answer, AnswerDelta, Message, Query, Ranking, Where
from rag.graph.build import Graph
from rag.graph.contents import require_read
from rag.graph.run import failed_output, run_nodes
from rag.graph.settled import answered, streamed
from rag.graph.spec import QUERY, Spec
from rag.pipeline.release import begin_to_load, inside, keep_only, release
from rag.pipeline.streaming import AnswerStream
from rag.pipeline.twins import AsyncTwins
from retrievers.index_protocol import Index

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable

    from rag.pipeline.facets import Facet
    from rag.stages.risk.calibration import MadeFor

ELSEWHERE = {"top_k": "k", "n": "k", "limit": "k", "filter": "where", "filters": "where", "user": "asker"}
"""What arguments are called in other libraries -> here."""

BATCH = 64
"""Queries that go through the graph together when a longer list is given: bounds memory, keeps models busy."""


class Pipeline(AsyncTwins):
    """Runs a graph. Safe to share between threads; models and index parts load at first use.

    Use `load_pipeline` to make one. As a context manager it is closed at the end. An index that it owns is closed with it.

    `instead` says why the graph is not the one that was asked for, where the machine was too small for that; else it is empty.

    By stage, nodes work one after another, and each has the memory to itself: all that it does not read lets go first.
    What the next batch needs is loaded again, so batches should be large, and calls wait for one another.
    """

    _pool: ThreadPoolExecutor | None = None  # also where the constructor failed, and there is nothing to close

    def __init__(
        self,
        graph: Graph,
        *,
        index: Index | None = None,
        owns_index: bool = False,
        by_stage: bool = False,
        instead: str = "",
    ) -> None:
        self.graph = graph
        self.index = index
        self._owns_index = owns_index
        self.by_stage = by_stage
        self.instead = instead
        self._turns = Lock()
        self._lock = Lock()
        tracing.watch(graph.models, graph.spec.graph.models)

    @property
    def spec(self) -> Spec:
        """The graph as data, and where it came from."""
        return self.graph.spec

    @property
    def answers(self) -> bool:
        """Whether the graph ends in answers."""
        return self.graph.answers

    @knows_its_arguments(ELSEWHERE)
    def run(
        self,
        queries: Sequence[str | Query],
        *,
        to: str | None = None,
        k: int | None = None,
        batch: int = BATCH,
        asker: Asker | None = None,
    ) -> RunResult:
        """Run a list of queries up to the node `to` (default: the output), `batch` at a time.

        Texts get the qids "1", "2", ... A failing item is reported in `failures`; the others go on.

        Args:
            k: replaces the k of the node `to`.
            asker: who asks all of them, where documents say who may read them; beside whoever a Query names itself.
                Without one only public documents are read.
        Raises:
            SpecError: no such node.
            TypeError: one query is given in the place of a list.
            ContractError: two queries share a qid.
        """
        if isinstance(queries, str | Query):
            one = queries if isinstance(queries, str) else queries.text
            raise TypeError(
                f"queries must be a list, got the one query {one[:40]!r}: put it in [], or use search or ask"
            )
        target = self.graph.output if to is None else to
        if target not in self.graph.parts:
            raise SpecError(f"no node '{target}'. {did_you_mean(target, self.graph.parts)}")
        if k is not None and k < 1:
            raise SpecError(f"k must be at least 1, got {k}")
        nodes = self.graph.up_to(target)
        asked = [q if isinstance(q, Query) else Query(qid=str(i), text=q) for i, q in enumerate(queries, start=1)]
        asked = [_asked_by(asker, query) for query in asked]
        steps = range(0, max(len(asked), 1), batch)
        return merged([self._run(nodes, asked[i : i + batch], output=target, k=k) for i in steps])

    @knows_its_arguments(ELSEWHERE)
    def search(
        self, query: str | Query, *, k: int | None = None, where: Where | None = None, asker: Asker | None = None
    ) -> Ranking:
        """The ranking that the graph's last ranking node makes for one query.

        Args:
            where: a metadata filter beside a query of text, in any of its forms; a Query brings its own.
            asker: who asks; see `run`.
        Raises:
            TypeError: a list is given; `search_batch` takes one.
            SpecError: the filter cannot be understood.
            StageError: a node failed; the cause is chained.
        """
        _require_one(query, instead="search_batch")
        asked = query if isinstance(query, Query) else Query(qid="1", text=query, where=parse_where(where))
        result = self.run([asked], to=self.graph.last_ranking(), k=k, asker=asker)
        raise_failure(result)
        return result.rankings[0]

    @knows_its_arguments(ELSEWHERE)
    def search_batch(
        self, queries: Sequence[str | Query], *, k: int | None = None, asker: Asker | None = None
    ) -> list[Ranking]:
        """One ranking per query, in order; one that failed is empty, with outcome `failed`."""
        return self.run(queries, to=self.graph.last_ranking(), k=k, asker=asker).rankings

    @knows_its_arguments(ELSEWHERE)
    def facets(
        self, query: str | Query, fields: Sequence[str], *, where: Where | None = None, asker: Asker | None = None
    ) -> dict[str, Facet]:
        """Field -> how many documents have each of its values, of all that have a word of the query and pass its filter.

        Raises:
            SpecError: no document that whoever asks may read has such a field, or the index cannot tell; or over 10 fields.
            IndexMismatch: the index has no words.
        """
        from rag.pipeline.facets import facets

        asked = query if isinstance(query, Query) else Query(qid="1", text=query, where=parse_where(where))
        return facets(self.index, _asked_by(asker, asked), fields)

    @knows_its_arguments(ELSEWHERE)
    def ask(
        self,
        query: str | Query,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        asker: Asker | None = None,
    ) -> Answer:
        """The answer to one question.

        Raises:
            SpecError: the graph does not end in answers.
            StageError: a node failed; the cause is chained.
        """
        self.require_answers()
        begin_to_load(self.graph, by_stage=self.by_stage)
        result = self.run([self._question(query, history, where)], asker=asker)
        raise_failure(result)
        return result.answers[0]

    @knows_its_arguments(ELSEWHERE)
    def ask_batch(self, queries: Sequence[str | Query], *, asker: Asker | None = None) -> list[Answer]:
        """One answer per question, in order; one that failed has status `failed`."""
        self.require_answers()
        return self.run(queries, asker=asker).answers

    @knows_its_arguments(ELSEWHERE)
    def stream(
        self,
        query: str | Query,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        asker: Asker | None = None,
    ) -> Iterator[AnswerDelta]:
        """The answer to one question, piece by piece; the last piece carries the whole answer. Closing stops it.

        Raises:
            SpecError: the graph does not end in answers.
            StageError: a node failed; the cause is chained.
        """
        with closing(self.follow(query, history=history, where=where, asker=asker)) as steps:
            yield from (step for step in steps if isinstance(step, AnswerDelta))

    def follow(
        self,
        query: str | Query,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        asker: Asker | None = None,
    ) -> Generator[RunResult | AnswerDelta, None, None]:
        """The same, and before it what is there to see meanwhile: the run as far as it has come.

        First what was found, where rerankers follow; then all that the answer is written from; then its pieces.

        Raises:
            SpecError: the graph does not end in answers.
            StageError: a node failed; the cause is chained.
        """
        asked = _asked_by(asker, self._question(query, history, where))
        begin_to_load(self.graph, by_stage=self.by_stage)
        yield from tracing.asking(asked, self._steps(asked))

    def prepare(self, queries: Sequence[Query]) -> list[RunResult]:
        """All that runs before the node that answers, for a batch: one result per query, in order.

        `finish` answers what is prepared, also from several batches at once; `begin` streams one answer.

        Raises:
            SpecError: the graph does not end in answers.
            ContractError: two queries share a qid.
        """
        nodes, output = self._before_answer()
        if not nodes:
            return [_nothing_before(query) for query in queries]
        return apart(self._run(nodes, queries, output=output))

    def finish(
        self, prepared: Sequence[RunResult], *, sampling: Mapping[str, Any] = MappingProxyType({})
    ) -> list[RunResult]:
        """The answers to prepared questions, in one batch; one whole result per question, in order.

        Args:
            sampling: fields of `SamplingParams` that differ from the graph's.
        Raises:
            SpecError: the answering node takes no other sampling.
            ContractError: two queries share a qid.
        """
        nodes = self._answering(sampling)
        going = [before for before in prepared if not before.failures]
        records: dict[str, list[Any]] = {}
        for before in going:
            for name in nodes[0].inputs:
                records.setdefault(name, []).extend(before.records.get(name, ()))
        records.pop(QUERY, None)
        queries = [before.queries[0] for before in going]
        answered = iter(apart(self._run(nodes, queries, output=nodes[-1].name, given=records)))
        return [_failed(each, nodes[-1]) if each.failures else _joined(each, next(answered)) for each in prepared]

    def begin(self, prepared: RunResult, *, sampling: Mapping[str, Any] = MappingProxyType({})) -> AnswerStream:
        """Stream the answer to one prepared question. Nothing is written before the first piece is asked for.

        Args:
            sampling: fields of `SamplingParams` that differ from the graph's.
        Raises:
            SpecError: the answering node takes no other sampling.
            StageError: the question failed on its way; the cause is chained.
        """
        raise_failure(prepared)
        writing, *checks = self._answering(sampling)
        generator = self._generator(sampling)
        if not isinstance(generator, CanStreamAnswers) or len(writing.inputs) != 1:
            return AnswerStream.whole(prepared, partial(self._finished, prepared, sampling))
        name = writing.inputs[0]
        given: Any = prepared.queries[0] if name == QUERY else prepared.records[name][0]
        checkers = [(node, self.graph.parts[node.name]) for node in checks]
        return AnswerStream.through(prepared, streamed(generator, given), writing, checkers)

    def warm_up(self) -> None:
        """Load what the graph uses now instead of at the first question; by stage, nothing."""
        if self.by_stage:
            return
        for part in (*self.graph.models.values(), *self.graph.parts.values(), *inside(self.graph)):
            if isinstance(part, CanWarmUp):
                part.warm_up()
        if self.index is not None:
            for leg in self.graph.legs:
                self.index.leg(leg).warm_up()

    def release(self, *names: str) -> None:
        """Give back the memory of models, engines and what they keep, say between two stages of a long job.

        Whoever is used next loads what it needs again. What runs meanwhile keeps what it uses until it is done.

        Args:
            names: models and nodes of the graph. None: all of them, and the index. With a model go the nodes that read it,
                for they may hold its layers; a node alone gives back what is its own.
        Raises:
            SpecError: the graph has no such model or node; nothing is given back then.
        """
        release(self.graph, self.index, names)

    def as_runnable(self) -> Runnable[Any, Any]:
        """A langchain-core Runnable: question in, Answer (or Ranking) out; invoke, batch, stream, callbacks."""
        from rag.langchain import as_runnable

        return as_runnable(self)

    def as_retriever(self, *, k: int | None = None, asker: Asker | None = None) -> BaseRetriever:
        """A langchain-core BaseRetriever over the graph's last ranking node. `asker`: who asks, always."""
        from rag.langchain import as_retriever

        return as_retriever(self, k=k, asker=asker)

    def close(self) -> None:
        """Let go of the threads, and close the index if `load_pipeline` opened it. An index that was given stays open.

        What is loaded can still be used, with new threads.
        """
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)
        if self._owns_index and self.index is not None:
            self.index.close()

    def __repr__(self) -> str:
        return f"<Pipeline of {self.spec.source.name[:80]!r}, {len(self.graph.nodes):,} nodes, output {self.graph.output[:32]!r}>"

    def _repr_html_(self) -> str:
        return self.graph._repr_html_()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="ragline")
            return self._pool

    def _run(
        self,
        nodes: Sequence[BoundNode],
        queries: Sequence[Query],
        *,
        output: str,
        k: int | None = None,
        given: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> RunResult:
        """These nodes on a batch: side by side, or in turns where they run by stage."""
        self.require_read(queries)
        queries = [in_words(query) if query.contents or query.history else query for query in queries]
        run = partial(run_nodes, nodes, queries, output=output, k=k, pool=self._threads, given=given)
        if not self.by_stage:
            return run()
        with self._turns:
            return run(before=partial(keep_only, self.graph, self.index))

    def require_read(self, queries: Sequence[Query]) -> None:
        """Return if every kind of content that these queries hold is read by some part of the graph.

        Raises:
            SpecError: names the kind, and what is read.
        """
        graph = self.graph
        parts = (*graph.models.values(), *graph.parts.values(), *graph.inner_parts.values())
        require_read(queries, parts, self.index, graph.legs)

    def _before_answer(self) -> tuple[Sequence[BoundNode], str]:
        """The nodes before the one that answers, in order, and whose output that reads; of one that reads the query the last."""
        self.require_answers()
        answering = self.graph.answering
        nodes = [node for node in self.graph.up_to(self.graph.output) if node not in answering]
        given = answering[0].inputs[0]
        return nodes, nodes[-1].name if nodes and given == QUERY else given

    def _steps(self, asked: Query) -> Iterator[RunResult | AnswerDelta]:
        path, output = self._before_answer()
        reranking = next((node for node in path if node.stage == "rerank"), None)
        if reranking is None:
            [prepared] = self.prepare([asked])
        else:
            source = reranking.inputs[0]
            found = self._run(self.graph.up_to(source), [asked], output=source)
            raise_failure(found)
            yield found
            rest = [node for node in path if node.name not in found.records]
            prepared = _joined(found, self._run(rest, [asked], output=output, given=found.records))
        raise_failure(prepared)
        yield prepared
        yield from self.begin(prepared)

    def _finished(self, prepared: RunResult, sampling: Mapping[str, Any]) -> RunResult:
        [result] = self.finish([prepared], sampling=sampling)
        raise_failure(result)
        return result

    def _generator(self, sampling: Mapping[str, Any]) -> Any:
        """The part that writes answers, with this sampling."""
        part = self.graph.writer
        if not sampling:
            return part
        if not isinstance(part, CanSample):
            use = self.graph.answering[0].use
            raise SpecError(f"{use} takes no sampling of the caller's, got {', '.join(sorted(sampling))}")
        return part.with_sampling(**sampling)

    def _answering(self, sampling: Mapping[str, Any]) -> tuple[BoundNode, ...]:
        """The node that writes, with this sampling, and the checks behind it."""
        self.require_answers()
        writing, *checks = self.graph.answering
        if sampling:
            writing = replace(writing, work=partial(answered, self._generator(sampling).generate))
        return (writing, *checks)

    def _question(self, query: str | Query, history: Sequence[Message], where: Where | None) -> Query:
        _require_one(query, instead="ask_batch")
        if isinstance(query, Query):
            return query
        return Query(qid="1", text=query, history=tuple(history), where=parse_where(where))

    def made_for(self) -> MadeFor:
        """What a calibration of this graph over this index is good for.

        Raises:
            SpecError: it searches nothing.
        """
        from rag.pipeline.calibrated import made_for

        if self.index is None:
            raise SpecError("a calibration is for a graph that searches: name an index")
        return made_for(self.graph, self.index)

    def require_answers(self) -> None:
        """Raise SpecError unless the graph ends in answers."""
        if not self.graph.answers:
            raise SpecError(
                f"{self.spec.source.name} ends in rankings, not answers: search with it, or ask with a graph whose "
                "output is a generate.* node, such as the built-in 'ask'"
            )


def _require_one(query: object, *, instead: str) -> None:
    """Raise TypeError unless this is one query, and say what takes several."""
    if not isinstance(query, str | Query):
        raise TypeError(f"query must be a text or a Query, got {type(query).__name__}; {instead} takes a list of them")


def _asked_by(asker: Asker | None, query: Query) -> Query:
    """The query, asked by somebody. Who asks travels in its filter, so whatever is made of the query is asked by them too."""
    return query if asker is None else replace(query, where=asked_by(asker, query.where))


def _nothing_before(query: Query) -> RunResult:
    """What is prepared where the answering node reads the query itself."""
    return RunResult(queries=(query,), outputs=(query,), records={}, nodes=(), failures=(), seconds=0.0)


def _joined(before: RunResult, answered: RunResult) -> RunResult:
    return RunResult(
        queries=before.queries,
        outputs=answered.outputs,
        records={**before.records, **answered.records},
        nodes=(*before.nodes, *answered.nodes),
        failures=answered.failures,
        seconds=before.seconds + answered.seconds,
    )


def _failed(before: RunResult, node: BoundNode) -> RunResult:
    """The result of a question that failed on its way to the answering node."""
    return replace(before, outputs=(failed_output(before.queries[0], before.failures[0], node.stage),))


def raise_failure(result: RunResult) -> None:
    """Raise the first failure of a run as a StageError, if there is one."""
    for failure in result.failures:
        message = f"node '{failure.node}' ({failure.use}) failed at qid '{failure.qid}': {failure.error}"
        raise StageError(message, node=failure.node, qid=failure.qid) from failure.cause
