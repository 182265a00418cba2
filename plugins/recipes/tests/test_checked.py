"""Written documents held against the corpus: worked closeness of each signal, what is kept, dropped and counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest

from rag.core.types import Document, Outcome, Query, QueryPart, Ranking, ScoredDocument
from rag.pipeline import load_pipeline
from ragline_recipes.checked import LEAST, CheckedReformulator, Signal
from retrievers.index.directory import LocalIndex

VECTORS = {"d1": (1.0, 0.0), "d2": (0.0, 2.0), "d3": (0.6, 0.8)}
TEXTS = {"east": (1.0, 0.0), "north": (0.0, 1.0), "between": (1.2, 1.6), "west": (-1.0, 0.0), "nothing": (0.0, 0.0)}


class Plane:
    """An index of three documents in the plane. Notes what is encoded."""

    def __init__(self) -> None:
        self.ids, self.encoded = sorted(VECTORS), list[str]()
        self.documents, self.encoder = self, self

    def leg(self, name: str) -> Plane:
        assert name == "dense"
        return self

    def row(self, doc_id: str) -> int:
        if doc_id not in self.ids:
            raise KeyError(doc_id)
        return self.ids.index(doc_id)

    def encode(self, texts: Sequence[str], *, role: str) -> np.ndarray:
        assert role == "document"
        self.encoded += texts
        return np.array([TEXTS[text] for text in texts], dtype=np.float32)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        return np.array([VECTORS[self.ids[row]] for row in rows], dtype=np.float32)

    def search(self, vectors: np.ndarray, *, k: int, where: Any = None) -> tuple[np.ndarray, np.ndarray]:
        scores = vectors @ self.vectors(np.arange(3)).T
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return rows.astype(np.int32), np.take_along_axis(scores, rows, axis=1)


def written(*texts: str, **fields: Any) -> Query:
    parts = (QueryPart(text="asked"), *(QueryPart(text=text, role="document") for text in texts))
    return Query(qid="q", text="asked", original="asked", parts=parts, **fields)


def found(*doc_ids: str, texts: Sequence[str] = ()) -> Ranking:
    told = texts or doc_ids
    documents = [Document(doc_id=doc_id, text=text) for doc_id, text in zip(doc_ids, told, strict=True)]
    return Ranking(
        query=Query(qid="q", text="asked"), hits=tuple(ScoredDocument(document=d, score=1.0) for d in documents)
    )


def checked(query: Query, ranking: Ranking, **arguments: Any) -> Query:
    [made] = CheckedReformulator(index=Plane(), **{"signal": "agreement", **arguments}).reformulate([query], [ranking])  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("signal", "texts", "hits", "closeness"),
    [
        ("hits", ("between",), ("d1", "d2"), 0.7),  # cosines .6 and .8
        ("hits", ("east", "between"), ("d1",), 0.8),  # 1 and .6
        ("hits", ("west",), ("d1",), 0.0),  # -1 counts as 0
        ("hits", ("nothing",), ("d1",), 0.0),
        ("agreement", ("east",), ("d1", "d2"), 0.5),  # its own first two are d1 and d3
        ("agreement", ("east", "between"), ("d2", "d3"), 0.75),  # d1 and d3, then d3 and d2: a half and all
        ("agreement", ("north",), ("d1",), 0.0),
    ],
)
def test_closeness_by_hand(signal: Signal, texts: tuple[str, ...], hits: tuple[str, ...], closeness: float) -> None:
    made = checked(written(*texts), found(*hits), signal=signal, depth=len(hits), least=0)
    assert made.outcome.detail == f"closeness {closeness:.2f}, kept: at least 0 is wanted"


def test_words_are_held_against_the_hit_that_has_most_of_them() -> None:
    texts = ["Rain fell.", "Boats sailed north yesterday."]
    ranking = found("d1", "d2", texts=texts)
    assert "closeness 1.00, kept" in checked(written("Boats sailed."), ranking, signal="words").outcome.detail
    assert "closeness 0.00, dropped" in checked(written("Quantum flux."), ranking, signal="words").outcome.detail


def test_from_the_threshold_on_the_query_stays_as_it_was_written() -> None:
    query = written("east", terms={"x": 1.0})
    made = checked(query, found("d1", "d2"), depth=2, least=0.5)
    assert (made.parts, made.terms) == (query.parts, query.terms)
    assert (made.outcome.kind, made.outcome.counts, made.usage.calls) == ("ok", {"kept": 1}, 1)


def test_below_it_the_query_is_searched_alone() -> None:
    made = checked(written("east", "north", terms={"x": 1.0}), found("d1", "d2"), depth=2, least=0.51)
    assert (made.text, made.asked, made.parts, made.terms) == ("asked", "asked", (), {})
    assert (made.outcome.kind, made.outcome.counts, made.usage.calls) == ("ok", {"dropped": 2}, 2)


@pytest.mark.parametrize("query", [Query(qid="q", text="asked"), written()])
def test_what_has_no_written_document_is_passed_on(query: Query) -> None:
    made = checked(query, found("d1"), least=1)
    assert (made.parts, made.outcome) == (query.parts, Outcome(counts={"unchecked": 1}))


def test_without_hits_there_is_nothing_to_hold_it_against() -> None:
    made = checked(written("west"), found(), least=1)
    assert (len(made.parts), made.outcome.counts) == (2, {"unchecked": 1})


@pytest.mark.parametrize("signal", ["agreement", "hits"])
def test_hits_of_another_index_are_like_nothing(signal: Signal) -> None:
    assert checked(written("east"), found("elsewhere"), signal=signal).outcome.counts == {"dropped": 1}


def test_all_texts_of_a_batch_are_encoded_once() -> None:
    plane = Plane()
    queries = [written("east", "north"), written("north"), Query(qid="q", text="asked")]
    rankings = [found("d1"), found("d2"), found("d3")]
    made = CheckedReformulator(index=plane, signal="hits").reformulate(queries, rankings)  # type: ignore[arg-type]
    assert plane.encoded == ["east", "north"]
    assert [sorted(query.outcome.counts) for query in made][2] == ["unchecked"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signal": "luck"}, "signal must be one of agreement, hits, words, got 'luck'"),
        ({"least": 1.5}, "least must be from 0 to 1"),
        ({"depth": 0}, "depth must be at least 1"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CheckedReformulator(index=Plane(), **arguments)  # type: ignore[arg-type]


def test_every_signal_has_a_threshold() -> None:
    assert set(LEAST) == set(get_args(Signal))
    assert CheckedReformulator(index=Plane()).least == LEAST["agreement"]  # type: ignore[arg-type]


@pytest.mark.parametrize(("least", "counts"), [(0.0, {"kept": 1}), (1.0, {"dropped": 1})])
def test_in_a_graph_behind_hyde(dense_index: LocalIndex, least: float, counts: dict[str, int]) -> None:
    """One call of the writer; with the document dropped the last search finds what the first one did."""
    graph = {
        "version": 1,
        "models": {"writer": {"use": "llm.scripted", "with": {"replies": ["zzz qqq xxx"], "context_window": 10_000}}},
        "nodes": {
            "first": {"use": "retrieve.dense", "k": 5},
            "written": {"use": "reformulate.hyde", "with": {"llm": "writer", "n": 1}},
            "checked": {
                "use": "reformulate.checked",
                "in": ["written", "first"],
                "with": {"least": least, "signal": "words"},
            },
            "found": {"use": "retrieve.dense", "in": "checked", "k": 5},
        },
        "output": "found",
    }
    with load_pipeline(graph, index=dense_index) as pipeline:
        result = pipeline.run([Query(qid="q", text="how long is the warranty of a frame")])
    reports = {report.name: report for report in result.nodes}
    assert reports["written"].usage.calls == 1
    assert {name: n for name, n in reports["checked"].counts.items() if name in ("kept", "dropped")} == counts
    first = pipeline_first(dense_index)
    assert (result.rankings[0].doc_ids == first) == ("dropped" in counts)


def pipeline_first(index: LocalIndex) -> tuple[str, ...]:
    """What the question finds alone."""
    graph = {"version": 1, "nodes": {"first": {"use": "retrieve.dense", "k": 5}}, "output": "first"}
    with load_pipeline(graph, index=index) as pipeline:
        return pipeline.search("how long is the warranty of a frame").doc_ids
