"""An index of another kind, in memory: retrievers know the protocol alone, so they find the same in it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.errors import IndexMismatch, IndexProblem
from rag.core.filters import matches, parse_where
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from rag.core.trec import write_run
from rag.core.types import Document, Query, Where
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from ragline_recipes.reformulate.rm3 import RM3Reformulator
from retrievers.analysis.analyzer import Analyzer
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index import INDEXES, SERVERS
from retrievers.index.directory import LocalIndex
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings
from retrievers.index_protocol import DocumentTable, Index, Sections
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.lexical.retriever import BM25Retriever
from retrievers.legs.lexical.search import Words
from retrievers.run import RunRetriever


class MemoryDocuments(DocumentTable):
    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = list(documents)

    def __len__(self) -> int:
        return len(self._documents)

    def at(self, row: int) -> Document:
        return self._documents[row]

    def many(self, rows: Iterable[int]) -> list[Document]:
        return [self._documents[row] for row in rows]

    def rows_many(self, doc_ids: Sequence[str]) -> list[int]:
        rows = {document.doc_id: row for row, document in enumerate(self._documents)}
        return [rows[doc_id] for doc_id in doc_ids]


class MemoryIndex:
    """Everything in lists. Rows go the other way round than on disk, so that nobody relies on their order."""

    legs = ("lexical", "dense")
    kept: dict[str, MemoryIndex] = {}

    def __init__(self, documents: Sequence[Document], encoder: SentenceEncoder) -> None:
        self.documents = MemoryDocuments(documents[::-1])
        self.name = self.address = self.identity = "memory://test"
        self._legs = {"lexical": MemoryBM25(self), "dense": MemoryVectors(self, encoder)}

    @classmethod
    def open(cls, address: str) -> MemoryIndex:
        return cls.kept[address]

    def leg(self, name: str) -> Any:
        return self._legs[name]

    def facts(self, leg: str) -> Mapping[str, Any]:
        return {}

    def rows(self, where: Where | None) -> NDArray[np.int64]:
        tree = parse_where(where)
        passing = [r for r, d in enumerate(self.documents) if tree is None or matches(tree, d.metadata)]
        return np.array(passing, dtype=np.int64)

    def check(self, settings: Sections, legs: Sequence[str]) -> None:
        if settings.says("analyzer"):
            raise IndexMismatch("another analyzer")

    def verify(self, *, progress: Progress = silent) -> None: ...
    def health(self, leg: str) -> list[str]:
        return []

    def memory(self, legs: Sequence[str]) -> list[Need]:
        return []

    def model_names(self, legs: Sequence[str]) -> list[tuple[str, str | None]]:
        return []

    def release(self) -> None: ...
    def close(self) -> None: ...
    def __len__(self) -> int:
        return len(self.documents)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...


def best(scores: Mapping[int, float], *, k: int, empty: float) -> tuple[list[int], list[float]]:
    rows = sorted(scores, key=lambda row: (-scores[row], row))[:k]
    filling = k - len(rows)
    return rows + [-1] * filling, [scores[row] for row in rows] + [empty] * filling


class MemoryBM25:
    """Lucene's BM25 with k1 0.9 and b 0.4, as its formula is written."""

    def __init__(self, index: MemoryIndex) -> None:
        self.index, self.analyzer = index, Analyzer(AnalyzerSettings(language="en"))
        self.counts = [Counter(self.analyzer.terms(document.index_text)) for document in index.documents]
        self.n_docs = len(self.counts)
        self.mean = sum(counts.total() for counts in self.counts) / self.n_docs

    def __contains__(self, term: object) -> bool:
        return self.document_frequency(str(term)) > 0

    def n_docs_of(self, term: str, *, where: Where | None = None) -> int:
        return self.n_docs

    def document_frequency(self, term: str, *, where: Where | None = None) -> int:
        return sum(term in counts for counts in self.counts)

    def knows(self, term: str, *, where: Where | None = None) -> bool:
        return any(self.counts[row][term] for row in self.index.rows(where).tolist())

    def words_like(self, term: str, *, least: int) -> list[Words]:
        known = {each for counts in self.counts for each in counts if each[0] == term[0]}
        words = sorted(known, key=lambda each: -self.document_frequency(each))
        return [Words(words, np.array([self.document_frequency(each) for each in words], dtype=np.int64))]

    def warm_up(self) -> None: ...
    def release(self) -> None: ...
    def search(self, queries: Any, *, k: int, where: Where | None = None, threads: int = 1) -> Any:
        allowed = set(self.index.rows(where).tolist())
        found = []
        for query in queries:
            scores = {
                row: sum(weight * self._score(term, row) for term, weight in query.items())
                for row in allowed
                if not self.counts[row].keys().isdisjoint(query)
            }
            found.append(best(scores, k=k, empty=0.0))
        return np.array([rows for rows, _ in found]), np.array([s for _, s in found], dtype=np.float32)

    def _score(self, term: str, row: int) -> float:
        n, count = self.document_frequency(term), self.counts[row][term]
        idf = math.log(1 + (self.n_docs - n + 0.5) / (n + 0.5))
        return idf * count / (count + 0.9 * (0.6 + 0.4 * self.counts[row].total() / self.mean))


class MemoryVectors:
    def __init__(self, index: MemoryIndex, encoder: SentenceEncoder) -> None:
        self.index, self.encoder = index, encoder
        self.matrix = encoder.encode([document.index_text for document in index.documents], role="document")

    def warm_up(self) -> None: ...
    def release(self) -> None: ...
    def vectors(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        return self.matrix[rows]

    def search(self, vectors: NDArray[np.float32], *, k: int, where: Where | None = None) -> Any:
        allowed = self.index.rows(where).tolist()
        found = [best({row: float(self.matrix[row] @ v) for row in allowed}, k=k, empty=-math.inf) for v in vectors]
        return np.array([rows for rows, _ in found]), np.array([s for _, s in found], dtype=np.float32)


@pytest.fixture(scope="module")
def local(mean_bert: Path, documents: tuple[Document, ...], tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    place = tmp_path_factory.mktemp("protocol")
    records = [{"_id": d.doc_id, "title": d.title, "text": d.text, "n": i % 3} for i, d in enumerate(documents)]
    (place / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    settings = IndexSettings(dense=DenseSettings(encoder=str(mean_bert), compute="float32"))
    build_index([place / "corpus.jsonl"], place / "index", settings=settings)
    return LocalIndex.open(place / "index")


@pytest.fixture(scope="module")
def memory(local: LocalIndex) -> MemoryIndex:
    return MemoryIndex(list(local.documents), local.leg("dense").encoder)


@pytest.fixture(params=[BM25Retriever, DenseRetriever])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("where", [None, {"n": 1}])
def test_retrievers_find_the_same_in_both(
    local: Index, memory: Index, kind: Any, where: Where | None, queries: tuple[Query, ...]
) -> None:
    wanted = [Query(qid=query.qid, text=query.text, where=where) for query in queries]
    rankings = [kind(index=index).retrieve(wanted, k=6) for index in (local, memory)]
    assert any(ranking.hits for ranking in rankings[0])
    for here, there in zip(*rankings, strict=True):
        assert here.doc_ids == there.doc_ids
        assert [h.score for h in here.hits] == pytest.approx([h.score for h in there.hits], abs=1e-5)


def test_the_reason_of_an_empty_ranking_is_the_same(local: Index, memory: Index) -> None:
    wanted = [Query(qid="1", text="zyzzyva"), Query(qid="2", text="the of")]
    details = [[r.outcome.detail for r in BM25Retriever(index=i).retrieve(wanted, k=3)] for i in (local, memory)]
    assert details[0] == details[1]
    assert "no document has any of its terms" in details[0][0]


def test_runs_and_feedback_read_either(local: Index, memory: Index, queries: tuple[Query, ...], tmp_path: Path) -> None:
    rankings = BM25Retriever(index=local).retrieve(queries, k=5)
    write_run(rankings, tmp_path / "a.trec", tag="a")
    where = [Query(qid=query.qid, text=query.text, where={"n": 0}) for query in queries]
    both = [RunRetriever(run=str(tmp_path / "a.trec"), index=i).retrieve(where, k=2) for i in (local, memory)]
    assert [r.doc_ids for r in both[0]] == [r.doc_ids for r in both[1]]
    terms = [RM3Reformulator(index=i, max_df=0.4).reformulate(queries, rankings) for i in (local, memory)]
    assert [query.terms for query in terms[0]] == [query.terms for query in terms[1]]


def test_an_address_chooses_the_kind(local: Index, memory: MemoryIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(INDEXES, "_table", dict(INDEXES._table))  # what is added here is gone afterwards
    INDEXES.add("memory", MemoryIndex)
    monkeypatch.setitem(MemoryIndex.kept, "memory://test", memory)
    assert open_index("memory://test") is memory
    with load_pipeline("bm25", index="memory://test") as pipeline:
        assert pipeline.search("lost laptop").hits
    with open_index(local.address) as index:
        assert isinstance(index, LocalIndex)
        assert index.identity == local.identity


def test_only_directories_are_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SERVERS._table, "toy", "toys:Server")
    with pytest.raises(IndexProblem, match=r"index 'memory://test': an index of this kind is not built.*toy://"):
        build_index([tmp_path], "memory://test")
    assert not list(tmp_path.iterdir())


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    with pytest.raises(IndexProblem, match=r"there is no kind of index 'joind'.*joined.*local.*Give a directory"):
        open_index("joind://here|there")
