"""Pipelines as langchain-core objects, a langchain-core retriever as one of ours, and a chat model that keeps sources.

LangChain is imported on call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from rag.core.access import Asker, read_asker
from rag.core.filters import asked_by
from rag.core.optional import need
from rag.core.ranking import in_this_order
from rag.core.types import Answer, AnswerDelta, Document, Outcome, Query, Ranking

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable


class PipelineLike(Protocol):
    """The part of a pipeline that LangChain needs."""

    @property
    def answers(self) -> bool: ...
    def ask(self, query: Query) -> Answer: ...
    def ask_batch(self, queries: Sequence[Query]) -> list[Answer]: ...
    def stream(self, query: Query) -> Iterator[AnswerDelta]: ...
    def search(self, query: str | Query, *, k: int | None = None, asker: Asker | None = None) -> Ranking: ...
    def search_batch(self, queries: Sequence[Query]) -> list[Ranking]: ...


def as_runnable(pipeline: PipelineLike) -> Runnable[Any, Any]:
    """Question -> Answer, or Ranking for a graph that does not answer.

    The input is a string, a Query, or a mapping with `question` and optionally `where` and `asker`. `batch` sends all questions
    through the graph together. `stream` yields the answer's text piece by piece.
    """
    need("langchain_core", by="as_runnable")
    from langchain_core.callbacks import CallbackManagerForChainRun
    from langchain_core.runnables import RunnableConfig, RunnableSerializable

    class PipelineRunnable(RunnableSerializable[Any, Any]):
        """A ragline pipeline behind langchain-core's Runnable."""

        name: str | None = "ragline"

        def _one(self, value: Any, run_manager: CallbackManagerForChainRun | None = None) -> Any:
            query = _query(value, qid="1")
            return pipeline.ask(query) if pipeline.answers else pipeline.search(query)

        def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
            return self._call_with_config(self._one, input, config)

        def batch(
            self,
            inputs: Sequence[Any],
            config: RunnableConfig | list[RunnableConfig] | None = None,
            *,
            return_exceptions: bool = False,
            **kwargs: Any,
        ) -> list[Any]:
            def together(values: list[Any]) -> list[Any]:
                queries = [_query(value, qid=str(i)) for i, value in enumerate(values, start=1)]
                return pipeline.ask_batch(queries) if pipeline.answers else pipeline.search_batch(queries)

            return self._batch_with_config(together, list(inputs), config, return_exceptions=return_exceptions)

        def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
            def pieces(values: Iterator[Any]) -> Iterator[Any]:
                for value in values:
                    query = _query(value, qid="1")
                    if not pipeline.answers:
                        yield pipeline.search(query)
                        continue
                    yield from (delta.text for delta in pipeline.stream(query) if delta.text)

            yield from self._transform_stream_with_config(iter([input]), pieces, config)

    return PipelineRunnable()


def _query(value: Any, *, qid: str) -> Query:
    if isinstance(value, Query):
        return value
    if isinstance(value, str):
        return Query(qid=qid, text=value)
    if isinstance(value, dict) and isinstance(value.get("question"), str):
        return Query(qid=qid, text=value["question"], where=asked_by(_asker(value), value.get("where")))
    raise TypeError("a question is a string, a Query, or a mapping with 'question'")


def _asker(value: Mapping[str, Any]) -> Asker | None:
    return None if value.get("asker") is None else read_asker(value["asker"])


def as_retriever(pipeline: PipelineLike, *, k: int | None = None, asker: Asker | None = None) -> BaseRetriever:
    """Question -> langchain-core Documents in rank order; `metadata` holds doc_id, title, score and the unit's own.

    Args:
        asker: who asks, always: make one for each.
    """
    need("langchain_core", by="as_retriever")
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document as TheirDocument
    from langchain_core.retrievers import BaseRetriever

    class PipelineRetriever(BaseRetriever):
        """A ragline pipeline's last ranking behind langchain-core's BaseRetriever."""

        def _get_relevant_documents(
            self, query: str, *, run_manager: CallbackManagerForRetrieverRun
        ) -> list[TheirDocument]:
            return [
                TheirDocument(
                    id=hit.doc_id,
                    page_content=hit.document.text,
                    metadata={
                        **hit.document.metadata,
                        "doc_id": hit.doc_id,
                        "title": hit.document.title,
                        "score": hit.score,
                    },
                )
                for hit in pipeline.search(query, k=k, asker=asker).hits
            ]

    return PipelineRetriever()


def keeps_sources(chat: type[Any]) -> type[Any]:
    """A subclass of LangChain's ChatOpenAI for `rag serve`: what the model cites stays with the message.

    ChatOpenAI reads role, content and calls of a chat's message and drops the rest, so also `annotations`. Here they are
    in `additional_kwargs["annotations"]`, of a stream with its last chunk, in the form in which OpenAI gives them.

    Args:
        chat: ChatOpenAI, or a class made from it.
    """

    class ChatWithSources(chat):  # type: ignore[misc]
        def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> Any:
            result = super()._create_chat_result(response, generation_info)
            plain = response if isinstance(response, dict) else response.model_dump()
            for generation, choice in zip(result.generations, plain["choices"], strict=True):
                _annotate(generation.message, choice["message"])
            return result

        def _convert_chunk_to_generation_chunk(self, chunk: dict[str, Any], *rest: Any) -> Any:
            made = super()._convert_chunk_to_generation_chunk(chunk, *rest)
            for choice in chunk.get("choices") or () if made is not None else ():
                _annotate(made.message, choice["delta"])
            return made

    return ChatWithSources


def _annotate(message: Any, said: Mapping[str, Any]) -> None:
    if annotations := said.get("annotations"):
        message.additional_kwargs["annotations"] = annotations


def from_langchain(retriever: BaseRetriever) -> LangChainRetriever:
    """A langchain-core retriever as a first stage; register it with `RETRIEVERS.add` or call it directly."""
    need("langchain_core", by="from_langchain")
    return LangChainRetriever(retriever)


class LangChainRetriever:
    """First stage that asks a langchain-core retriever. It gives no scores, so hits score 1 / rank."""

    def __init__(self, retriever: BaseRetriever) -> None:
        self._retriever = retriever

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """Ask for all queries in one `batch`. A document that comes twice counts once, at its best rank."""
        results = self._retriever.batch([query.text for query in queries]) if queries else []
        return [self._ranking(query, theirs, k) for query, theirs in zip(queries, results, strict=True)]

    def _ranking(self, query: Query, theirs: Sequence[Any], k: int) -> Ranking:
        documents = list({d.doc_id: d for d in map(_document, theirs)}.values())
        repeated = len(theirs) - len(documents)
        outcome = Outcome(kind="repaired", counts={"repeated": repeated}) if repeated else Outcome()
        return Ranking(query=query, hits=in_this_order(documents, k=k), outcome=outcome)


def _document(theirs: Any) -> Document:
    metadata = dict(theirs.metadata)
    named = theirs.id or metadata.get("doc_id") or metadata.get("id")
    doc_id = str(named or f"langchain:{sha256(theirs.page_content.encode(errors='replace')).hexdigest()[:16]}")
    return Document(doc_id=doc_id, text=theirs.page_content, title=str(metadata.get("title", "")), metadata=metadata)
