"""A filter of a graph, of a query and of a caller, on the legs that a graph searches (`test_every_leg` has all legs)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import SpecError
from rag.core.types import Query
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers import RETRIEVERS
from retrievers.by_filter import by_filter
from retrievers.index.directory import LocalIndex
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever
from retrievers.legs.sparse.retriever import SparseRetriever
from tests.rag.random_filters import random_metadata
from tests.small_legs import SmallModels, usual_settings

N_DOCS = 40
KEYS = ("a", "b", "c")
WORDS = [
    "paid",
    "leave",
    "frame",
    "fork",
    "warranty",
    "journey",
    "laptop",
    "officer",
    "grinder",
    "wheel",
    "stand",
    "euros",
]
QUERY = "paid leave for a frame and a laptop"


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, Any]]:
    """Metadata by doc_id."""
    source = random.Random(0)
    return {f"d{number:02d}": random_metadata(source, KEYS) for number in range(N_DOCS)}


@pytest.fixture(scope="module")
def index(
    kept: Mapping[str, Any], small_models: SmallModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalIndex]:
    folder = tmp_path_factory.mktemp("legs")
    source = random.Random(7)
    lines = [
        json.dumps({"_id": doc_id, "text": " ".join(source.choices(WORDS, k=9)), **metadata})
        for doc_id, metadata in kept.items()
    ]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    legs = ("lexical", "dense", "sparse")
    build_index([folder / "corpus.jsonl"], folder / "index", settings=usual_settings(small_models), legs=legs)
    with LocalIndex.open(folder / "index") as opened:
        yield opened


@pytest.fixture(scope="module")
def legs(index: LocalIndex) -> dict[str, Any]:
    return {
        "lexical": BM25Retriever(index=index),
        "dense": DenseRetriever(index=index),
        "sparse": SparseRetriever(index=index),
    }


def ranked(leg: Any, where: Any) -> list[tuple[str, float]]:
    [ranking] = leg.retrieve([Query(qid="q", text=QUERY, where=where)], k=N_DOCS)
    return [(hit.doc_id, hit.score) for hit in ranking.hits]


def test_forms_and_filters_are_mixed_in_one_batch(legs: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    wheres: list[Any] = ["a = 1", None, {"a": 1.0}, {"a": True}, {"not": {"a": 1}}, "a = 1"]
    queries = [Query(qid=f"q{i}", text=QUERY, where=where) for i, where in enumerate(wheres)]
    assert [members for _, members in by_filter(queries)] == [[0, 2, 5], [1], [3], [4]]
    rankings = legs["dense"].retrieve(queries, k=N_DOCS)
    ones = {doc_id for doc_id, metadata in kept.items() if _is_one(metadata.get("a"))}
    assert [set(ranking.doc_ids) == ones for ranking in rankings] == [True, False, True, False, False, True]
    assert set(rankings[4].doc_ids) == set(kept) - ones


def _is_one(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(each == 1 and not isinstance(each, bool) for each in values)


# --- the filter of a graph ---

GRAPH = """
version: 1
nodes:
  best: {{use: retrieve.{name}, in: query, k: 40, with: {{{params}}}}}
output: best
models:
  small: {{use: llm.transformers, with: {{model: no/where}}}}
"""


def graph(tmp_path: Path, name: str, params: str) -> Path:
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH.format(name=name, params=params))
    return path


@pytest.mark.parametrize(("name", "leg"), [("bm25", "lexical"), ("dense", "dense"), ("sparse", "sparse")])
def test_a_retriever_takes_a_filter_of_the_graph_beside_that_of_the_query(
    index: LocalIndex, legs: Mapping[str, Any], tmp_path: Path, name: str, leg: str
) -> None:
    with load_pipeline(graph(tmp_path, name, "where: {a: {gte: 1}}"), index=index) as pipeline:
        alone = pipeline.search(QUERY)
        both = pipeline.search(QUERY, where="b = 1 or b prefix a or not exists(b)")
    assert list(alone.doc_ids) == [doc_id for doc_id, _ in ranked(legs[leg], "a >= 1")]
    assert list(both.doc_ids) == [
        doc_id for doc_id, _ in ranked(legs[leg], "a >= 1 and (b = 1 or b prefix a or not exists(b))")
    ]
    assert 0 < len(both.hits) < len(alone.hits) < N_DOCS


def test_a_run_file_is_filtered_by_the_graph_too(index: LocalIndex, kept: Mapping[str, Any], tmp_path: Path) -> None:
    (tmp_path / "first.trec").write_text("\n".join(f"1 Q0 {doc_id} 1 {100 - i} x" for i, doc_id in enumerate(kept)))
    params = f"run: {tmp_path / 'first.trec'}, where: exists(a) and not a = 1"
    with load_pipeline(graph(tmp_path, "run", params), index=index) as pipeline:
        hits = pipeline.search("x", where="exists(b)").doc_ids
    wanted = [d for d, m in kept.items() if matches_all(m)]
    assert list(hits) == wanted
    assert 0 < len(wanted) < N_DOCS


def matches_all(metadata: Mapping[str, Any]) -> bool:
    def there(key: str) -> bool:
        value = metadata.get(key)
        return any(each is not None for each in (value if isinstance(value, list) else [value]))

    return there("a") and there("b") and not _is_one(metadata.get("a"))


@pytest.mark.parametrize(
    "name", [name for name in RETRIEVERS if name != "expanded"]
)  # the search inside it has the filter
def test_a_wrong_filter_of_a_graph_is_shown_with_its_line(name: str, tmp_path: Path, index: LocalIndex) -> None:
    (tmp_path / "r.trec").write_text("")
    walked = f"llm: small, triples: {tmp_path / 'r.trec'}, "
    others = {
        "run": f"run: {tmp_path / 'r.trec'}, ",
        "backtrace": "llm: small, ",
        "walk": walked,
        "collection": "address: milvus://host/notes, vector: v, text: t, ",
        "mentions": "llm: small, inner: {use: retrieve.bm25}, ",
    }.get(name, "")
    with pytest.raises(SpecError, match=r"graph.yaml:4: node 'best': where.a: no operator 'gtee'. Did you mean 'gte'"):
        load_pipeline(graph(tmp_path, name, f"{others}where: {{a: {{gtee: 1}}}}"), index=index)
    with pytest.raises(SpecError, match=r"node 'best': where, column 8: expected a value"):
        load_pipeline(graph(tmp_path, name, f"{others}where: 'year >='"), index=index)


def test_a_filter_of_the_caller_is_understood_before_anything_runs(index: LocalIndex, tmp_path: Path) -> None:
    with load_pipeline(graph(tmp_path, "bm25", ""), index=index) as pipeline:
        with pytest.raises(SpecError, match="where, column 8"):
            pipeline.search(QUERY, where="year >=")
        with pytest.raises(SpecError, match=r"where.year: no operator"):
            pipeline.search(QUERY, where={"year": {"gtee": 3}})
