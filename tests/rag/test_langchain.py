from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun
from langchain_core.documents import Document as TheirDocument
from langchain_core.retrievers import BaseRetriever

from rag.core.types import Answer, Query, Ranking
from rag.graph.build import build
from rag.graph.load import load_spec
from rag.langchain import from_langchain
from rag.pipeline import Pipeline
from retrievers import RETRIEVERS
from tests.rag.graph.parts import FixedRetriever

SEARCH = {"version": 1, "nodes": {"one": {"use": "retrieve.test_langchain", "k": 5}}, "output": "one"}
ASK = {
    "version": 1,
    "models": {"small": {"use": "llm.scripted", "with": {"replies": ["Thirty days [1]."]}}},
    "nodes": {
        "one": {"use": "retrieve.test_langchain", "k": 3},
        "context": {"use": "assemble.token_budget", "in": "one", "with": {"llm": "small"}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small"}},
    },
    "output": "answer",
}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    RETRIEVERS.add("test_langchain", FixedRetriever)
    yield
    del RETRIEVERS._table["test_langchain"]


class Seen(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.events.append(f"chain {inputs}")

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.events.append("chain end")

    def on_retriever_start(self, serialized: Any, query: str, **kwargs: Any) -> None:
        self.events.append(f"retriever {query}")


def test_a_runnable_answers_one_many_and_in_pieces_and_calls_back() -> None:
    runnable = Pipeline(build(load_spec(ASK))).as_runnable()
    seen = Seen()
    answer = runnable.invoke("leave?", config={"callbacks": [seen]})
    assert isinstance(answer, Answer)
    assert answer.text == "Thirty days [1]."
    assert seen.events == ["chain leave?", "chain end"]
    many = runnable.batch(["a", {"question": "b"}])
    assert [a.query.text for a in many] == ["a", "b"]
    assert "".join(runnable.stream("leave?")) == "Thirty days [1]."
    assert (runnable | (lambda a: a.status)).invoke("leave?") == "answered"


def test_a_runnable_of_a_search_graph_gives_rankings() -> None:
    runnable = Pipeline(build(load_spec(SEARCH))).as_runnable()
    assert isinstance(runnable.invoke("x"), Ranking)
    with pytest.raises(TypeError, match="a question is a string"):
        runnable.invoke(3)


def test_a_retriever_gives_documents_in_rank_order_with_scores() -> None:
    seen = Seen()
    retriever = Pipeline(build(load_spec(SEARCH))).as_retriever(k=2)
    documents = retriever.invoke("x", config={"callbacks": [seen]})
    assert [d.id for d in documents] == ["d1", "d2"]
    assert documents[1].metadata["score"] == -1.0
    assert seen.events == ["retriever x"]


class Theirs(BaseRetriever):
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[TheirDocument]:
        a = TheirDocument(page_content="alpha", metadata={"id": "a"})
        b = TheirDocument(page_content="beta")
        return [a, b, a] if query == "x" else []


def test_a_langchain_retriever_is_a_first_stage() -> None:
    retriever = from_langchain(Theirs())
    one, none = retriever.retrieve([Query(qid="1", text="x"), Query(qid="2", text="y")], k=5)
    assert one.doc_ids[0] == "a"
    assert one.doc_ids[1].startswith("langchain:")
    assert [h.score for h in one.hits] == [1.0, 0.5]
    assert one.outcome.counts == {"repeated": 1}
    assert none.hits == ()
