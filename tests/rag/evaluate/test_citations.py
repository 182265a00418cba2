from __future__ import annotations

from rag.core.types import Answer, Citation, Context, Document, Query, ScoredDocument
from rag.evaluate.citations import citation_precision, citation_recall, cited_documents


def answer(*citations: Citation) -> Answer:
    query = Query(qid="q", text="?")
    chunks = [("a#0", "a"), ("a#1", "a"), ("b#0", "b")]
    passages = tuple(
        ScoredDocument(document=Document(doc_id=i, text="", metadata={"parent": parent}), score=1.0)
        for i, parent in chunks
    )
    return Answer(query=query, text="text", context=Context(query=query, passages=passages), citations=citations)


def test_values_are_those_worked_by_hand() -> None:
    assert citation_precision({"a", "b", "c"}, ["a", "c", "d"]) == 2 / 3
    assert citation_recall({"a", "b", "c"}, ["a", "c", "d", "e"]) == 2 / 4
    assert citation_precision([], ["a"]) == citation_recall([], ["a"]) == 0.0
    assert citation_precision(["x"], ["a"]) == 0.0


def test_a_citation_of_a_chunk_counts_for_its_document_once() -> None:
    made = answer(
        Citation(marker=1, doc_id="a#0", start=0, end=1),
        Citation(marker=2, doc_id="a#1", start=1, end=2),
        Citation(marker=3, doc_id="b#0", start=2, end=3, by="attribution"),
    )
    assert cited_documents(made) == {"a", "b"}
    assert cited_documents(made, by_model=True) == {"a"}
