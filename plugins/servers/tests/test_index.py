"""An index on a server is the index of a directory: the same documents, rankings, filters, identity and refusals."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from plugins.servers.tests.conftest import Addresses
from rag import build_index, index_sources, load_pipeline
from rag.errors import IndexMismatch, IndexProblem, SpecError
from rag.indexes import Index, IndexSettings, LocalIndex, open_index
from rag.types import Query, Ranking
from ragline_servers.index import ServerIndex
from retrievers.index.near_duplicates import KnowsDuplicates
from retrievers.index.shared import BEGIN
from retrievers.index_protocol import HasGenerations
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever
from retrievers.legs.sparse.retriever import SparseRetriever
from tests.rag.random_filters import random_metadata
from tests.retrievers.legs.test_filters_on_legs import WORDS
from tests.small_legs import SmallModels

N = 60
LEGS = ("lexical", "dense", "sparse")
QUERIES = [
    Query(qid=str(n), text=text) for n, text in enumerate(["paid leave", "a fork and a wheel", "laptop euros euros"])
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = random.Random(3)
    lines = [
        {"_id": f"d{n:02d}", "text": " ".join(source.choices(WORDS, k=9)), **random_metadata(source, ("a", "b"))}
        for n in range(N - 2)
    ]
    lines.append({"_id": "long", "text": "paid " * 20_000, "title": 'Ümläut \u2028 "q" \\ \''})
    lines.append({"_id": "d\"\\'\n", "text": "...", "a": "docs/a"})  # no term: no weights
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def settings(small_models: SmallModels) -> IndexSettings:
    return IndexSettings.model_validate(
        {
            "dense": {"encoder": str(small_models.sentences), "compute": "float32"},
            "sparse": {"model": str(small_models.masked), "dtype": "float32"},
            "chunking": {"corpora": False},
        }
    )


@pytest.fixture(scope="module")
def local(corpus: Path, settings: IndexSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalIndex]:
    home = tmp_path_factory.mktemp("local") / "index"
    build_index(corpus, home, settings=settings, legs=LEGS)
    with LocalIndex.open(home) as index:
        yield index


@pytest.fixture(scope="module")
def served(corpus: Path, settings: IndexSettings, addresses: Addresses) -> Iterator[ServerIndex]:
    build_index(corpus, addresses("notes"), settings=settings, legs=LEGS)
    index = open_index(addresses("notes"))
    assert isinstance(index, ServerIndex)
    with index:
        yield index


def same(here: Sequence[Ranking], there: Sequence[Ranking]) -> None:
    assert any(ranking.hits for ranking in here)
    for one, other in zip(here, there, strict=True):
        assert [hit.score for hit in one.hits] == pytest.approx([hit.score for hit in other.hits], rel=1e-5, abs=1e-6)
        assert {hit.doc_id: hit.document for hit in one.hits} == {hit.doc_id: hit.document for hit in other.hits}


@pytest.mark.parametrize("kind", [BM25Retriever, DenseRetriever, SparseRetriever])
@pytest.mark.parametrize("where", [None, {"a": {"gte": 1}}, 'a ~ "docs/*" or not exists(b)'])
def test_every_leg_ranks_as_in_a_directory(local: Index, served: Index, kind: Any, where: Any) -> None:
    queries = [Query(qid=query.qid, text=query.text, where=where) for query in QUERIES]
    for k in (7, N):
        same(*(kind(index=index).retrieve(queries, k=k) for index in (local, served)))


def test_a_hit_is_explained_alike(local: Index, served: Index) -> None:
    for kind in (BM25Retriever, DenseRetriever, SparseRetriever):
        hits = kind(index=local).retrieve(QUERIES[1:2], k=3)[0].hits
        here, there = (kind(index=index).explain_hits(QUERIES[1], hits) for index in (local, served))
        for one, other in zip(here, there, strict=True):
            assert [part.of_document for part in one] == [part.of_document for part in other]
            assert [part.score for part in one] == pytest.approx([part.score for part in other], rel=1e-5)


def test_documents_are_the_same_by_row_and_by_id(local: Index, served: Index) -> None:
    assert list(served.documents) == list(local.documents) == served.documents[:]
    for document in local.documents:
        assert served.documents.row(document.doc_id) == local.documents.row(document.doc_id)
    assert served.documents[-1] == local.documents[-1]
    with pytest.raises(KeyError):
        served.documents.row("d99")
    with pytest.raises(KeyError):
        served.documents.row("\ud800")
    with pytest.raises(IndexError):
        _ = served.documents[N]


def test_it_is_what_its_manifest_says(local: LocalIndex, served: ServerIndex) -> None:
    assert served.identity == local.identity
    assert (served.legs, len(served), served.kinds) == (local.legs, len(local), local.kinds)
    assert served.model_names(LEGS) == local.model_names(LEGS)
    assert not [need for need in served.memory(LEGS) if need.mapped]
    served.verify()
    for leg in LEGS:
        assert any("answers" in line for line in served.health(leg))
    assert isinstance(served, HasGenerations)
    assert served.newest() == served.generation
    assert isinstance(served, KnowsDuplicates)
    assert len(served.near_duplicates()) == len(local.near_duplicates())


def test_words_are_counted_alike(local: Index, served: Index) -> None:
    here, there = local.leg("lexical"), served.leg("lexical")
    for word in (*WORDS, "nothing"):
        [term] = here.analyzer.terms(word)
        assert (term in here) == (term in there)
        assert here.document_frequency(term) == there.document_frequency(term)
        assert here.n_docs_of(term) == there.n_docs_of(term) == N


def test_a_graph_of_both_legs_runs_unchanged(
    local: LocalIndex, served: ServerIndex, small_models: SmallModels, tmp_path: Path
) -> None:
    graph = tmp_path / "both.yaml"
    graph.write_text(
        "version: 1\nnodes:\n"
        "  bm25: {use: retrieve.bm25, k: 20}\n  dense: {use: retrieve.dense, k: 20}\n"
        "  fused: {use: fuse.rrf, in: [bm25, dense], k: 10}\noutput: fused\n"
    )
    with (
        load_pipeline(str(graph), index=local.address) as here,
        load_pipeline(str(graph), index=served.address) as there,
    ):
        for query in QUERIES:
            same([here.search(query.text)], [there.search(query.text)])


def test_a_graph_that_wants_another_index_is_refused_with_both_sides(served: ServerIndex) -> None:
    with pytest.raises(IndexMismatch, match=r"built with bm25.k1 0\.9; the graph asks for 2\.0"):
        served.check(IndexSettings.model_validate({"bm25": {"k1": 2.0}}), ["lexical"])
    with pytest.raises(IndexMismatch, match="it has no promptreps leg"):
        served.leg("promptreps")


def test_a_question_cannot_ask_for_more_than_a_server_gives(served: ServerIndex) -> None:
    with pytest.raises(SpecError, match=r"a server gives at most 16,384 hits"):
        served.leg("lexical").search([{"paid": 1.0}], k=20_000)
    with pytest.raises(SpecError, match="weights of terms must be above 0"):
        served.leg("lexical").search([{"paid": -1.0}], k=2)


def test_its_sources_are_listed(served: ServerIndex, corpus: Path) -> None:
    assert [holding.source.root for holding in index_sources(served.address)] == [str(corpus)]


@pytest.mark.parametrize(
    ("section", "legs", "said"),
    [
        ({"bm25": {"variant": "okapi"}}, ("lexical",), "index.bm25.variant: okapi scores by counts"),
        (
            {"analyzer": {"language": "each"}},
            ("lexical",),
            "index.analyzer.language: each keeps a leg for each",
        ),
        ({"dense": {"storage": "int8"}}, ("dense",), "index.dense.storage: int8 is made here"),
        (
            {"dense": {"structure": "auto"}},
            ("dense",),
            "index.dense.structure: auto chooses what is made here; on a server choose flat or hnsw",
        ),
        ({}, ("promptreps",), "a promptreps leg; a server can keep dense, lexical, sparse"),
    ],
)
def test_what_no_server_keeps_is_said_before_anything_is_read(
    section: Mapping[str, Any], legs: Sequence[str], said: str, addresses: Addresses, corpus: Path
) -> None:
    with pytest.raises(IndexProblem, match=f"a server cannot keep {said}[^\n]*$"):
        build_index(corpus, addresses("other"), settings=IndexSettings.model_validate(section), legs=legs)


@pytest.mark.parametrize("variant", ["bm25+", "bm25l", "atire", "robertson"])
def test_every_variant_that_has_weights_ranks_alike(
    variant: str, corpus: Path, addresses: Addresses, tmp_path: Path
) -> None:
    settings = IndexSettings.model_validate({"bm25": {"variant": variant}})
    name = "variant_" + "".join(filter(str.isalpha, variant))
    places = [str(tmp_path / "index"), addresses(name)]
    for place in places:
        build_index(corpus, place, settings=settings, legs=("lexical",))
    with open_index(places[0]) as here, open_index(places[1]) as there:
        same(*(BM25Retriever(index=index).retrieve(QUERIES, k=N) for index in (here, there)))


def test_a_graph_of_vectors_finds_nearly_all(
    corpus: Path, settings: IndexSettings, addresses: Addresses, local: Index, small_models: SmallModels
) -> None:
    dense = {"encoder": str(small_models.sentences), "compute": "float32", "structure": "hnsw"}
    build_index(corpus, addresses("graph"), settings=IndexSettings.model_validate({"dense": dense}), legs=("dense",))
    with open_index(addresses("graph")) as index:
        found = DenseRetriever(index=index).retrieve(QUERIES, k=20)
    for exact, ranking in zip(DenseRetriever(index=local).retrieve(QUERIES, k=20), found, strict=True):
        assert len(set(exact.doc_ids) & set(ranking.doc_ids)) >= 18


def test_metadata_that_units_share_come_back_whole(addresses: Addresses, tmp_path: Path) -> None:
    records = [{"_id": f"r{n}", "text": " ".join(WORDS * 60), "abstract": f"{n} " + "long " * 300} for n in range(3)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = IndexSettings.model_validate({"chunking": {"corpora": True}})
    places = [str(tmp_path / "index"), addresses("shared")]
    for place in places:
        build_index(tmp_path / "corpus.jsonl", place, settings=settings, legs=("lexical",))
    with open_index(places[0]) as here, open_index(places[1]) as there:
        assert here.documents.line(1).startswith(BEGIN)  # type: ignore[attr-defined]
        assert list(there.documents) == there.documents[:] == list(here.documents)
        assert [there.documents[row] for row in range(len(there))] == list(here.documents)
        assert there.documents.rows_of("r1") == here.documents.rows_of("r1")
        there.verify()
    records[1]["text"] = "A short one."
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for place in places:
        build_index(tmp_path / "corpus.jsonl", place)
    with open_index(places[0]) as here, open_index(places[1]) as there:
        assert list(there.documents) == list(here.documents)
        assert there.identity == here.identity


def test_threads_share_an_index(served: ServerIndex) -> None:
    def ask(number: int) -> list[list[str]]:
        where = None if number % 2 else {"a": {"gte": 1}}
        queries = [Query(qid=query.qid, text=query.text, where=where) for query in QUERIES]
        found = [kind(index=served).retrieve(queries, k=9) for kind in (BM25Retriever, DenseRetriever)]
        return [ranking.doc_ids for rankings in found for ranking in rankings]

    alone = [ask(0), ask(1)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(24))) == alone * 12
