"""The pipeline as the endpoints use it: awaited, gathered into batches, bounded, with what is down remembered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag import Pipeline
from rag.doors import AnswerStream, Reader, answering_llm
from rag.errors import SpecError
from rag.filters import parted
from rag.graphs import RunResult, apart, needs_index, parameters_of
from rag.indexes import encoder_of
from rag.protocols import LLM, CanSample, CanStreamAnswers, CanStreamTogether, CapsTokens
from rag.types import AnswerDelta, Query, Ranking, Where
from ragline_serve.service.gather import Gatherer, Streams, Threads
from ragline_serve.service.settings import ServeSettings
from ragline_serve.service.unavailable import UNAVAILABLE, Down

logger = logging.getLogger(__name__)

_CHECKS = 8
"""Requests that are counted and looked up at a time, before they go into a waiting room."""

CHAT_PATH = "/v1/chat/completions"

ANSWERING = "answer"
"""The name under which an answering node that is down is remembered."""

Given = TypeVar("Given")
Made = TypeVar("Made")
Sampling = Mapping[str, Any]


class Watch:
    """What a server tells of its work. This one listens to nothing; metrics do."""

    def batch(self, name: str, n: int, seconds: float) -> None:
        """A batch of `n` items went through."""

    def result(self, result: RunResult) -> None:
        """A question was answered, or searched for."""

    def first_token(self, seconds: float) -> None:
        """A stream gave its first piece, so long after the request came."""

    def stream_failed(self) -> None:
        """A stream ended in an error after its reply had begun with 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """A question on its way to a node; `to` is None for all that runs before the answering node."""

    pipeline: Pipeline
    query: Query
    to: str | None
    k: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    pipeline: Pipeline
    prepared: RunResult
    sampling: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rerank:
    pipeline: Pipeline
    ranking: Ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    pipeline: Pipeline
    texts: tuple[str, ...]
    role: Literal["query", "document"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """float32 [n, dim], and the tokens of all texts, special ones not counted."""

    vectors: NDArray[np.float32]
    n_tokens: int


class Service:
    """One pipeline, its waiting rooms and its streams. Use it from one event loop.

    Retrieval and all that runs before an answer is one row of batches, answers that are not streamed another, reranking
    and embedding two more; so a search does not wait for an answer to be written. Where the model writes its streams
    together, answers that are not streamed are streams that nobody listens to before their end: they share the passes of
    the others, and one whose caller has left is written no further.

    A request stays with one service, and so with one generation of the index: what waits in the rooms says which.
    """

    def __init__(self, pipeline: Pipeline, settings: ServeSettings, watch: Watch | None = None) -> None:
        self.pipeline, self.settings = pipeline, settings
        self.watch = watch or Watch()
        self.down = Down(settings.down_s)
        self.streams = Streams(places=settings.max_streams, room=settings.waiting_room)
        self.wholes = Streams(places=settings.max_batch, room=settings.waiting_room)
        self.checks = Threads("checks", places=_CHECKS, room=settings.waiting_room)
        self._loader: threading.Thread | None = None
        self.trouble = ""
        self._numbers = count(1)
        limits: dict[str, Any] = {
            "max_batch": settings.max_batch,
            "room": settings.waiting_room,
            "watch": self.watch.batch,
        }
        # Follow-ups go apart: they alone need the model that rewrites them, and its failure is the batch's.
        self._searches = Gatherer[_Search, RunResult](
            "search", _run, key=lambda one: (one.pipeline, one.to, one.k, bool(one.query.history)), **limits
        )
        self._answers = Gatherer[_Answer, RunResult](
            "answer", _finish, key=lambda one: (one.pipeline, one.sampling), **limits
        )
        self._reranks = Gatherer[_Rerank, Ranking]("rerank", _rerank, key=lambda one: one.pipeline, **limits)
        self._texts = Gatherer[_Texts, Embedded]("embed", _embed, key=lambda one: (one.pipeline, one.role), **limits)
        self.gatherers = (self._searches, self._answers, self._reranks, self._texts)

    def over(self, pipeline: Pipeline) -> Service:
        """The same rooms, and the same memory of what is down, over a newer index of the same graph."""
        newer = copy(self)
        newer.pipeline = pipeline
        return newer

    def query(self, text: str, **fields: Any) -> Query:
        """A question under a qid that no other request has."""
        return Query(qid=str(next(self._numbers)), text=text, **fields)

    @property
    def llm(self) -> LLM | None:
        """The model that answers, if the answering node says which."""
        return answering_llm(self.pipeline.graph)

    @property
    def takes_sampling(self) -> bool:
        """Whether a request may say how the answer is sampled."""
        return isinstance(self.pipeline.graph.writer, CanSample)

    @property
    def most_tokens(self) -> int | None:
        """Most tokens of an answer that a request may ask for; None where no limit is known."""
        part = self.pipeline.graph.writer
        return self.settings.max_tokens or (part.max_tokens if isinstance(part, CapsTokens) else None)

    @property
    def reranker(self) -> Any:
        """The graph's last reranker that needs no index, or None."""
        return _reranker(self.pipeline)

    @property
    def most_documents(self) -> int:
        """Most documents that a request may have put in order: as many as the reranker reads."""
        most, name = self.settings.max_documents, _last_rerank(self.pipeline)
        if name is None:
            return most
        node = self.pipeline.spec.graph.nodes[name]
        declared = parameters_of(node.use).model_fields
        depth = node.params.get("depth", declared["depth"].default if "depth" in declared else None)
        return min(most, depth) if isinstance(depth, int) else most

    @property
    def ranking_nodes(self) -> list[str]:
        """Nodes that rank on the way to the output, the last one first."""
        return [*reversed(self.pipeline.graph.ranking_nodes())]

    async def search(self, query: Query, *, k: int | None = None) -> tuple[RunResult, str]:
        """A run up to the last ranking node that answers, and that node. `k`: hits; unset takes the last node's.

        A node that needs a model which is down is left out: what is ranked before it is better than nothing.

        Raises:
            MissingModel, MissingDependency: none of them answers.
            SpecError: the graph ranks nothing, or the request's filter is wrong.
        """
        k = k or self.pipeline.graph.node(self.pipeline.graph.last_ranking()).k
        *later, first = self.ranking_nodes
        for node in later:
            if node not in self.down:
                try:
                    result = await self._searches(_Search(pipeline=self.pipeline, query=query, to=node, k=k))
                except UNAVAILABLE:
                    self.down.note(node)
                else:
                    self.down.clear(node)
                    return result, node
        return await self._searches(_Search(pipeline=self.pipeline, query=query, to=first, k=k)), first

    def check(self, where: Where | None) -> None:
        """Return if a metadata filter can be applied. The first one on a key reads all documents, so it may block.

        Raises:
            SpecError: no document has such a key, or the graph searches no index.
        """
        if parted(where).where is None:
            return
        if self.pipeline.index is None:
            raise SpecError("where: this graph searches no index")
        self.pipeline.index.rows(where)

    async def prepare(self, query: Query) -> RunResult:
        """All that runs before the answering node."""
        return await self._searches(_Search(pipeline=self.pipeline, query=query, to=None, k=None))

    async def finish(self, prepared: RunResult, sampling: Sampling) -> RunResult:
        """The whole run of a prepared question."""
        if self._writes_together:
            result = await self._written(prepared, sampling)
        else:
            wish = tuple(sorted(sampling.items()))
            result = await self._answers(_Answer(pipeline=self.pipeline, prepared=prepared, sampling=wish))
        self.done(result)
        return result

    @property
    def _writes_together(self) -> bool:
        """Whether a stream costs no more than a place in a batch."""
        llm: Any = self.llm
        answering = self.pipeline.graph.writer
        return isinstance(answering, CanStreamAnswers) and isinstance(llm, CanStreamTogether) and llm.streams_together

    async def _written(self, prepared: RunResult, sampling: Sampling) -> RunResult:
        """The run of a stream that is read to its end; a caller that leaves stops it."""
        stream = self.pipeline.begin(prepared, sampling=sampling)
        reader = await self.wholes.open(stream)
        try:
            async for _ in reader:
                pass
        finally:
            reader.stop()
        if stream.result is None:
            raise RuntimeError("the stream ended without an answer")
        return stream.result

    def done(self, result: RunResult) -> None:
        """A question went all the way: metrics hear of it, and what did not load at the start has loaded by now."""
        self.watch.result(result)
        if not result.failures:
            self.trouble = ""

    async def write(self, prepared: RunResult, sampling: Sampling) -> tuple[AnswerStream, Reader[AnswerDelta]]:
        """The answer to a prepared question, and what reads its pieces; stopping the reader stops the model.

        Raises:
            Overloaded: as many are streamed as may be, and others wait.
        """
        stream = self.pipeline.begin(prepared, sampling=sampling)
        return stream, await self.streams.open(stream)

    async def rerank(self, ranking: Ranking) -> Ranking:
        """A request's own documents, ordered by the graph's last reranker."""
        return await self._reranks(_Rerank(pipeline=self.pipeline, ranking=ranking))

    async def embed(self, texts: Sequence[str], role: Literal["query", "document"]) -> Embedded:
        """Texts as the index's encoder reads them."""
        return await self._texts(_Texts(pipeline=self.pipeline, texts=tuple(texts), role=role))

    @property
    def embeds(self) -> bool:
        index = self.pipeline.index
        return index is not None and "dense" in index.legs

    def load(self) -> None:
        """Load weights in the background, so that the first question does not wait for them."""
        self._loader = threading.Thread(target=self._load, name="serve-load", daemon=True)
        self._loader.start()

    @property
    def loading(self) -> bool:
        return self._loader is not None and self._loader.is_alive()

    def close(self) -> None:
        """Let the batches that have begun end, and begin no more."""
        self.checks.close()
        for gatherer in self.gatherers:
            gatherer.close()

    def _load(self) -> None:
        try:
            self.pipeline.warm_up()
        except Exception as error:
            logger.error("loading failed: %s", type(error).__name__)
            self.trouble = f"a part did not load ({type(error).__name__}); it is tried again when it is needed"


def _run(batch: list[_Search]) -> list[RunResult | Exception]:
    pipeline, to, k = batch[0].pipeline, batch[0].to, batch[0].k

    def run(queries: list[Query]) -> list[RunResult]:
        if to is None:
            return pipeline.prepare(queries)
        return apart(pipeline.run(queries, to=to, k=k))

    return _each_alone(run, [one.query for one in batch])


def _finish(batch: list[_Answer]) -> list[RunResult | Exception]:
    pipeline, sampling = batch[0].pipeline, dict(batch[0].sampling)
    return _each_alone(lambda prepared: pipeline.finish(prepared, sampling=sampling), [one.prepared for one in batch])


def _rerank(batch: list[_Rerank]) -> list[Ranking | Exception]:
    reranker, rankings = _reranker(batch[0].pipeline), [one.ranking for one in batch]
    k = max(len(ranking.hits) for ranking in rankings)
    return _each_alone(lambda part: reranker.rerank(part, k=k), rankings)


def _embed(batch: list[_Texts]) -> list[Embedded | Exception]:
    index = batch[0].pipeline.index
    encoder = None if index is None else encoder_of(index)
    if encoder is None:
        raise SpecError("this graph has no index of vectors, so it has no encoder")
    texts = [text for one in batch for text in one.texts]
    vectors = encoder.encode(texts, role=batch[0].role)
    # One by one: the spans of a text take many times its memory, and a batch can have thousands of texts.
    tokens = [len(encoder.spans([text])[0]) for text in texts]
    ends = np.cumsum([len(one.texts) for one in batch]).tolist()
    return [
        Embedded(vectors=vectors[start:end], n_tokens=sum(tokens[start:end])) for start, end in pairwise([0, *ends])
    ]


def _last_rerank(pipeline: Pipeline) -> str | None:
    graph = pipeline.graph
    nodes = (node.name for node in reversed(graph.up_to(graph.output)) if node.stage == "rerank")
    return next((name for name in nodes if not needs_index(type(graph.parts[name]))), None)


def _reranker(pipeline: Pipeline) -> Any:
    name = _last_rerank(pipeline)
    return None if name is None else pipeline.graph.parts[name]


def _each_alone(work: Callable[[list[Given]], list[Made]], batch: list[Given]) -> list[Made | Exception]:
    """`work` on a batch; if that fails, on each item alone, so that it fails for the item at fault only.

    What is down is down for all: nothing is tried again then.
    """
    try:
        return list(work(batch))
    except UNAVAILABLE as error:
        return [error] * len(batch)
    except Exception as error:
        if len(batch) == 1:
            return [error]
    return [result for item in batch for result in _each_alone(work, [item])]
