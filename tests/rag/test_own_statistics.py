"""Whoever asks has statistics of their own: answers are those of an index without what they may not read, to the last bit."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.serve.tests.mcp.calling import called
from plugins.serve.tests.walled import walled
from rag.batch.run import run_batch
from rag.cli import main
from rag.core.access import NOBODY, Asker, read_asker
from rag.core.errors import IndexMismatch, IndexProblem
from rag.core.filters import asked_by
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.indexing import add_documents, build_index
from rag.pipeline import load_pipeline
from rag.pipeline.pipeline import Pipeline
from ragline_recipes.reformulate.rm3 import RM3Reformulator
from ragline_serve.mcp.server import create_server
from rerankers.distinct import DistinctReranker
from retrievers.index.directory import LocalIndex
from retrievers.index.joined import joined_address
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings
from retrievers.legs.lexical.retriever import BM25Retriever
from tests.rag.labels import askers, labels, reads
from tests.retrievers.tiny_encoders import WORDS
from tests.scripted_graph import graph
from tests.small_legs import SmallModels, Way

ANN = Asker(user="ann", tenant="north")
AS_ANN = {"user": "ann", "tenant": "north"}
OF_ANN, PUBLIC = {"tenant": "north", "owner": "ann"}, {"public": True}
OWN = {"reading": {"access": "acl", "own_statistics": True}}
TEXTS = {"a": "red apple", "b": "red pear leaf", "secret": "apple apple pear tree"}
ACLS = {"a": PUBLIC, "b": PUBLIC, "secret": OF_ANN}

Records = Sequence[Mapping[str, Any]]


def built(
    folder: Path, records: Records, sections: Mapping[str, Any] = OWN, *, legs: Sequence[str] = ("lexical",)
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    build_index(
        folder / "corpus.jsonl", folder / "index", legs=tuple(legs), settings=IndexSettings.model_validate(sections)
    )
    return folder / "index"


def records_of(texts: Mapping[str, str] = TEXTS, **acls: Any) -> list[dict[str, Any]]:
    return [
        {"_id": doc_id, "text": text, "n": len(text), "acl": (ACLS | acls)[doc_id]} for doc_id, text in texts.items()
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("own"), records_of())


@pytest.fixture
def index(place: Path) -> Iterator[LocalIndex]:
    with LocalIndex.open(place) as opened:
        yield opened


def score(retriever: BM25Retriever, asker: Asker | None, text: str = "apple", doc_id: str = "a") -> float:
    [ranking] = retriever.retrieve([Query(qid="q", text=text, where=asked_by(asker))], k=9)
    return {hit.doc_id: hit.score for hit in ranking.hits}[doc_id]


def weight(n_with: int, n: int, length: int, mean: float) -> float:
    """Lucene's BM25 with k1 0.9 and b 0.4, of a word that is there once."""
    return math.log(1 + (n - n_with + 0.5) / (n_with + 0.5)) / (0.9 * (0.6 + 0.4 * length / mean) + 1)


def test_a_score_by_hand_counts_what_may_be_read(index: LocalIndex) -> None:
    retriever = BM25Retriever(index=index)
    assert (
        score(retriever, NOBODY) == pytest.approx(weight(1, 2, 2, 5 / 2), rel=1e-6) == pytest.approx(0.379183, abs=1e-6)
    )
    assert score(retriever, None) == score(retriever, NOBODY)
    assert score(retriever, ANN) == pytest.approx(weight(2, 3, 2, 9 / 3), rel=1e-6)


def test_without_the_option_all_documents_count(tmp_path: Path) -> None:
    with LocalIndex.open(built(tmp_path, records_of(), {"reading": {"access": "acl"}})) as index:
        assert score(BM25Retriever(index=index), NOBODY) == pytest.approx(weight(2, 3, 2, 9 / 3), rel=1e-6)
        assert "own_statistics" not in str(index.manifest.settings.counted(index.legs))


def test_a_filter_of_a_question_changes_no_statistics(index: LocalIndex) -> None:
    retriever = BM25Retriever(index=index)
    [ranking] = retriever.retrieve([Query(qid="q", text="red", where=asked_by(NOBODY, "n > 9"))], k=9)
    assert [(hit.doc_id, hit.score) for hit in ranking.hits] == [("b", score(retriever, NOBODY, "red", "b"))]


# --- as an index without what may not be read ---

CHANCE = random.Random(5)
POOL = {f"d{n:02d}": " ".join(CHANCE.choices(WORDS, k=CHANCE.randint(3, 14))) for n in range(14)}
LEGS = ("lexical", "dense")


def said(pipeline: Pipeline, query: Query, node: str, k: int) -> tuple[list[tuple[str, float]], Any, Any]:
    """What a node finds, what it says of that, and of what its scores are made."""
    [ranking] = pipeline.run([query], to=node, k=k).rankings
    why = BM25Retriever(index=pipeline.index).explain_hits(query, ranking.hits) if node == "bm25" else None
    return [(hit.doc_id, hit.score) for hit in ranking.hits], ranking.outcome, why


@settings(max_examples=20)
@given(
    acls=st.lists(labels, min_size=len(POOL), max_size=len(POOL)),
    some=st.lists(askers, min_size=1, max_size=2),
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5),
    variant=st.sampled_from(["lucene", "robertson", "bm25+"]),
    k=st.integers(1, 20),
)
def test_hits_scores_and_rankings_are_those_of_an_index_without_the_rest(
    tmp_path_factory: pytest.TempPathFactory,
    small_models: SmallModels,
    acls: list[dict[str, Any]],
    some: list[dict[str, Any]],
    words: list[str],
    variant: str,
    k: int,
) -> None:
    folder, label_of = tmp_path_factory.mktemp("alone"), dict(zip(POOL, acls, strict=True))
    sections = Way(leg="dense", name="static").section(small_models) | {"bm25": {"variant": variant}}
    place = built(folder / "all", records_of(POOL, **label_of), OWN | sections, legs=LEGS)
    unasked = Query(qid="q", text=" ".join(words))
    with load_pipeline("hybrid", index=place) as pipeline:
        for number, asker in enumerate([*some, {}]):
            asked = replace(unasked, where=asked_by(read_asker(asker)))
            mine = {node: said(pipeline, asked, node, k) for node in ("bm25", "dense", "fused")}
            own = [
                {"_id": doc_id, "text": text, "n": len(text)}
                for doc_id, text in POOL.items()
                if reads(asker, label_of[doc_id])
            ]
            if not own:
                assert not any(hits for hits, *_ in mine.values())
                continue
            with load_pipeline("hybrid", index=built(folder / str(number), own, sections, legs=LEGS)) as alone:
                assert mine == {node: said(alone, unasked, node, k) for node in mine}


def test_feedback_knows_how_common_words_are_among_what_may_be_read(index: LocalIndex) -> None:
    hits = (ScoredDocument(document=Document(doc_id="a", text="apple red"), score=1.0),)
    reformulator = RM3Reformulator(index=index, max_df=0.5)
    for asker, terms in (
        (NOBODY, {"leaf", "appl"}),
        (ANN, set()),
    ):  # apples are in one of two documents, or in two of three
        query = Query(qid="q", text="leaf", where=asked_by(asker))
        [made] = reformulator.reformulate([query], [Ranking(query=query, hits=hits)])
        assert made.terms.keys() == terms


def test_indexes_searched_as_one_keep_to_what_each_says(place: Path, tmp_path: Path) -> None:
    other = built(
        tmp_path, records_of({"a": "red apple", "b": "pear", "secret": "apple"}), {"reading": {"access": "acl"}}
    )
    with open_index(joined_address([place, other])) as both:
        retriever = BM25Retriever(index=both)
        names = [*both.parts]  # type: ignore[attr-defined]
        assert score(retriever, NOBODY, doc_id=f"{names[0]}/a") == pytest.approx(weight(1, 2, 2, 5 / 2), rel=1e-6)
        assert score(retriever, NOBODY, doc_id=f"{names[1]}/a") == pytest.approx(weight(2, 3, 2, 4 / 3), rel=1e-6)
        assert both.leg("lexical").document_frequency("appl", where=asked_by(NOBODY)) == 1 + 2
        assert both.leg("lexical").n_docs_of("appl", where=asked_by(ANN)) == 3 + 3


@pytest.mark.parametrize(("own", "hidden"), [(True, []), (False, ["old"])])
def test_what_may_not_be_read_says_nothing_of_what_is_replaced(tmp_path: Path, own: bool, hidden: list[str]) -> None:
    acls = {"old": PUBLIC, "draft": OF_ANN, "new": PUBLIC}
    replaces = {"draft": "old", "new": "draft"}
    records = [
        {"_id": doc_id, "text": "apple", "acl": acl} | ({"replaces": replaces[doc_id]} if doc_id in replaces else {})
        for doc_id, acl in acls.items()
    ]
    sections = {"reading": {"access": "acl", "own_statistics": own}}
    with LocalIndex.open(built(tmp_path, records, sections)) as index:
        retriever = BM25Retriever(index=index, versions="newest")
        for asker, left_out in ((NOBODY, [*hidden, "draft"]), (ANN, ["old", "draft"])):
            [ranking] = retriever.retrieve([Query(qid="q", text="apple", where=asked_by(asker))], k=9)
            assert set(ranking.doc_ids) == acls.keys() - set(left_out)


def test_what_is_alike_by_way_of_what_may_not_be_read_is_not_folded(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(60)]
    texts = {"secret": " ".join(words), "a": " ".join(words[:-6]), "b": " ".join(words[6:])}
    acls = {"secret": OF_ANN, "a": PUBLIC, "b": PUBLIC}
    with LocalIndex.open(built(tmp_path, records_of(texts, **acls))) as index:
        rankings = [
            Ranking(query=query, hits=BM25Retriever(index=index).retrieve([query], k=9)[0].hits)
            for query in (Query(qid="q", text="word30", where=asked_by(asker)) for asker in (NOBODY, ANN))
        ]
        for ranking, n, duplicates in zip(
            DistinctReranker(index=index).rerank(rankings, k=9), (2, 1), (None, 2), strict=True
        ):
            assert len(ranking.hits) == n
            assert ranking.hits[0].document.metadata.get("duplicates") == duplicates


# --- at every door ---


def of_python(place: Path, as_ann: bool, out: Path, capsys: Any) -> Any:
    with load_pipeline("bm25", index=place) as pipeline:
        ranking = pipeline.search("apple", asker=ANN if as_ann else None)
    return [{"doc_id": hit.doc_id, "score": hit.score} for hit in ranking.hits]


def of_commands(place: Path, as_ann: bool, out: Path, capsys: Any) -> Any:
    who = ["--as", json.dumps(AS_ANN)] if as_ann else []
    assert main(["search", "apple", "--index", str(place), "--graph", "bm25", "--json", *who]) == 0
    return json.loads(capsys.readouterr().out)["hits"]


def of_batches(place: Path, as_ann: bool, out: Path, capsys: Any) -> Any:
    (out / "q.jsonl").write_text(json.dumps({"_id": "q", "text": "apple"} | ({"asker": AS_ANN} if as_ann else {})))
    with load_pipeline(graph(), index=place) as pipeline:
        run_batch(out / "q.jsonl", pipeline, out=out / "run")
    [line] = (out / "run" / "answers.jsonl").read_text().splitlines()
    return json.loads(line)["stages"]["bm25"]


def of_a_server(place: Path, as_ann: bool, out: Path, capsys: Any) -> Any:
    with walled(place, asker_header="X-Asker") as client:
        headers = {"X-Asker": json.dumps(AS_ANN)} if as_ann else {}
        return client.post("/v1/search", json={"query": "apple"}, headers=headers).json()["hits"]


def of_tools(place: Path, as_ann: bool, out: Path, capsys: Any) -> Any:
    with load_pipeline("bm25", index=place) as pipeline:
        server = create_server(pipeline, asker=ANN if as_ann else None)
        return called(server, "search", query="apple")["hits"]


@pytest.mark.parametrize(
    "door", [of_python, of_commands, of_batches, of_a_server, of_tools], ids=lambda door: door.__name__
)
def test_every_door_asks_by_who_asks(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], door: Callable[..., Any]
) -> None:
    for as_ann, expected in ((False, weight(1, 2, 2, 5 / 2)), (True, weight(2, 3, 2, 9 / 3))):
        (out := tmp_path / str(as_ann)).mkdir()
        scores = {hit["doc_id"]: hit["score"] for hit in door(place, as_ann, out, capsys)}
        assert scores["a"] == pytest.approx(expected, rel=1e-5)


# --- who says so, and who cannot ---


def keeps_apart(place: Path) -> bool:
    with LocalIndex.open(place) as index:
        return index.manifest.settings.reading.own_statistics


def test_an_index_keeps_to_it_whatever_graph_it_is_built_for(tmp_path: Path) -> None:
    place = built(tmp_path, records_of())
    build_index(tmp_path / "corpus.jsonl", place, legs=("lexical",), settings=IndexSettings())
    add_documents([{"id": "c", "text": "plum", "acl": PUBLIC}], place)
    with LocalIndex.open(place) as index:
        assert score(BM25Retriever(index=index), NOBODY) == pytest.approx(weight(1, 3, 2, 6 / 3), rel=1e-6)
    damaged = next(place.glob("generation-*/lexical/rows.npy"))
    damaged.write_bytes(b"x")
    build_index(tmp_path / "corpus.jsonl", place, legs=("lexical",), settings=IndexSettings(), prune=True)
    assert keeps_apart(place)


def test_the_command_says_it_to_an_index_that_is_there(tmp_path: Path) -> None:
    place = built(tmp_path, records_of(), {"reading": {"access": "acl"}})
    assert not keeps_apart(place)
    assert main(["index", "--index", str(place), "--own-statistics"]) == 0
    assert keeps_apart(place)


def test_a_graph_that_asks_for_it_is_not_served_by_an_index_without(tmp_path: Path) -> None:
    place = built(tmp_path, records_of(), {"reading": {"access": "acl"}})
    asking = {
        "version": 1,
        "index": OWN,
        "nodes": {"bm25": {"use": "retrieve.bm25", "in": "query", "k": 9}},
        "output": "bm25",
    }
    with pytest.raises(IndexMismatch, match=r"reading\.own_statistics False; the graph asks for True"):
        load_pipeline(asking, index=place)


@pytest.mark.parametrize(
    ("sections", "leg", "reason"),
    [
        ({"reading": {"own_statistics": True}}, "lexical", "no document says who may read it"),
        (OWN | {"bm25": {"variant": "okapi"}}, "lexical", "bm25.variant okapi counts all documents"),
        (OWN | {"analyzer": {"language": "each"}}, "lexical", "name the language"),
        (OWN | {"dense": {"storage": "int8"}}, "dense", "choose flat and float32"),
        (OWN | {"dense": {"structure": "auto"}}, "dense", "structure: auto may .*; choose flat and float32"),
        (OWN, "late_interaction", "it is made of all documents together"),
    ],
)
def test_what_depends_on_all_documents_is_refused_before_anything_is_read(
    tmp_path: Path, sections: Mapping[str, Any], leg: str, reason: str
) -> None:
    with pytest.raises(IndexProblem, match=reason):
        built(tmp_path, records_of(), sections, legs=(leg,))
    assert not (tmp_path / "index" / "CURRENT").exists()
