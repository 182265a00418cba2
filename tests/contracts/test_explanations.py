"""Whoever says that it can take scores apart does: the parts sum to the score, whatever was asked."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.core.powers import POWERS
from rag.core.protocols import ExplainsFusion
from rag.core.types import Document, Query, QueryPart, Ranking, ScoredDocument
from rag.stages import FUSERS
from rag.stages.fuse import Norm
from retrievers import RETRIEVERS
from retrievers.index.directory import LocalIndex
from tests.contracts.conftest import Make
from tests.explained import require_sums

EXPLAINING = [name for name in RETRIEVERS if POWERS["explain hits"].kept_by(RETRIEVERS.get(name))]
FUSING = [name for name in FUSERS if POWERS["explain fusion"].kept_by(FUSERS.get(name))]

quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_those_that_should_do() -> None:
    assert EXPLAINING == ["bm25", "dense", "late_interaction", "pictures", "sounds", "sparse"]
    assert FUSING == ["rrf", "weighted"]


@pytest.mark.parametrize("name", EXPLAINING)
def test_a_hit_of_another_index_is_refused(name: str, make: Make) -> None:
    strange = ScoredDocument(document=Document(doc_id="strange", text="x"), score=1.0)
    with pytest.raises(KeyError):
        make("retrieve", name).explain_hits(Query(qid="q", text="paid leave"), [strange])


def test_terms_of_a_query_are_explained_in_place_of_its_text(make: Make) -> None:
    retriever, query = make("retrieve", "bm25"), Query(qid="q", text="leave", terms={"day": 2.5, "leav": 1.0, "no": 0})
    [ranking] = retriever.retrieve([query], k=3)
    parts = retriever.explain_hits(query, ranking.hits)
    require_sums(ranking.hits, parts, within=1e-5)
    assert {part.of_query for of_hit in parts for part in of_hit} <= {"day", "leav"}


def test_each_text_that_a_query_averages_is_a_part(make: Make) -> None:
    texts = (QueryPart(text="paid leave"), QueryPart(text="a laptop", weight=-0.5, role="document"))
    query = Query(qid="q", text="leave", parts=texts)
    retriever = make("retrieve", "dense")
    [ranking] = retriever.retrieve([query], k=3)
    parts = retriever.explain_hits(query, ranking.hits)
    require_sums(ranking.hits, parts, within=1e-5)
    assert all({part.of_query for part in of_hit} == {"paid leave", "a laptop"} for of_hit in parts)
    blank = Query(qid="b", text=" ")
    assert retriever.explain_hits(blank, ranking.hits) == [[], [], []]


scores = st.dictionaries(st.sampled_from([f"d{n}" for n in range(6)]), st.floats(-50, 50), max_size=6)


@pytest.mark.parametrize(
    ("name", "more"),
    [("rrf", {}), ("rrf", {"weights": {"one": 0.25}}), *(("weighted", {"norm": n}) for n in get_args(Norm))],
)
@quickly
@given(lists=st.lists(scores, min_size=1, max_size=4))
def test_what_lists_add_sums_to_the_fused_score(
    name: str, more: dict[str, Any], lists: list[dict[str, float]], make: Make
) -> None:
    fuser = make("fuse", name, **more)  # type: ignore[call-arg]
    assert isinstance(fuser, ExplainsFusion)
    rankings = [
        Ranking(
            query=Query(qid="q", text=f"variant {place}"),
            hits=tuple(
                ScoredDocument(document=Document(doc_id=doc_id, text=""), score=score)
                for doc_id, score in sorted(found.items(), key=lambda item: -item[1])
            ),
            source="one" if place < 2 else f"list {place}",
        )
        for place, found in enumerate(lists)
    ]
    [fused] = fuser.fuse(rankings, k=10)
    parts = fuser.explain_fusion(rankings, fused.hits)
    require_sums(fused.hits, parts, within=1e-9)
    for of_hit in parts:
        assert len({part.of_query for part in of_hit}) == len(of_hit), "lists of one source have names of their own"


def test_a_hit_of_several_indexes_is_explained_by_its_own(index: LocalIndex, make: Make) -> None:
    from retrievers.index.joined import JoinedIndex
    from retrievers.legs.lexical.retriever import BM25Retriever

    joined = JoinedIndex([index, index])
    retriever, query = BM25Retriever(index=joined), Query(qid="q", text="paid leave")
    [ranking] = retriever.retrieve([query], k=6)
    assert len({hit.doc_id.partition("/")[0] for hit in ranking.hits}) == 2
    require_sums(ranking.hits, retriever.explain_hits(query, ranking.hits), within=1e-5)
