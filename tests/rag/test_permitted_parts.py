"""Parts that look into an index by themselves show nobody more of it than a search does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from generators.llm.scripted import ScriptedLLM
from generators.tally import TallyGenerator
from rag.core.access import NOBODY, Asker
from rag.core.filters import asked_by
from rag.core.types import Query, Ranking, ScoredDocument
from rag.indexing import build_index
from ragline_recipes.reformulate.feedback import FeedbackSource, Learning
from rerankers.distinct import DistinctReranker
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.lexical.retriever import BM25Retriever
from tests.generators.asking import Inner

ANN = Asker(user="ann", tenant="north")
TEXT = " ".join(f"word{number} of the rules on paid leave" for number in range(40))
RECORDS = (
    {"_id": "open", "text": TEXT, "acl": {"public": True}},
    {"_id": "secret", "text": f"{TEXT} too", "grade": "high", "acl": {"tenant": "north", "owner": "ann"}},
)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LocalIndex]:
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    settings = IndexSettings.model_validate({"reading": {"access": "acl"}, "chunking": {"corpora": False}})
    build_index(tmp_path / "corpus.jsonl", tmp_path / "index", legs=("lexical",), settings=settings)
    with LocalIndex.open(tmp_path / "index") as opened:
        yield opened


def asked(asker: Asker) -> Query:
    return Query(qid="q", text="paid leave", where=asked_by(asker))


@pytest.mark.parametrize(("asker", "others"), [(NOBODY, 0), (ANN, 1)])
def test_near_duplicates_are_counted_of_what_may_be_read(index: LocalIndex, asker: Asker, others: int) -> None:
    hit = ScoredDocument(document=index.documents[index.documents.row("open")], score=1.0)
    [ranking] = DistinctReranker(index=index).rerank([Ranking(query=asked(asker), hits=(hit,))], k=10)
    assert ranking.hits[0].document.metadata["duplicates"] == others


@pytest.mark.parametrize(("asker", "learned"), [(NOBODY, ["open"]), (ANN, ["secret", "open"])])
def test_judged_documents_are_learned_from_if_they_may_be_read(
    index: LocalIndex, tmp_path: Path, asker: Asker, learned: list[str]
) -> None:
    (tmp_path / "qrels").write_text("q 0 secret 2\nq 0 open 1\n")
    judged = Learning(source="oracle", m=3, qrels=str(tmp_path / "qrels"), llm=ScriptedLLM(), index=index)
    source = FeedbackSource(judged, by="x")
    [feedback] = source.choose([asked(asker)], [Ranking(query=asked(asker))])
    assert [document.doc_id for document in feedback.documents] == learned


def test_a_plan_may_use_fields_of_what_may_be_read(index: LocalIndex) -> None:
    tally = TallyGenerator(
        llm=ScriptedLLM(),
        inner=BM25Retriever(index=index),
        answers=Inner({}),
        index=index,  # type: ignore[arg-type]
    )
    assert "grade" in tally.fields(asked_by(ANN))
    assert "grade" not in tally.fields(asked_by(NOBODY))
    assert "grade" not in tally.fields()
