"""Who may read what, on every leg however it is built; and on the data set with the cases."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from rag.core.access import read_asker
from rag.core.filters import asked_by
from rag.core.types import Query
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers.index.directory import LocalIndex
from retrievers.index.joined import joined_address
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings
from retrievers.run import RunRetriever
from tests.rag.labels import askers, random_label, reads
from tests.retrievers.legs.test_every_leg import built, random_texts, ranked, write
from tests.small_legs import SmallModels, Way, ways

N_DOCS = 40


@pytest.fixture(scope="module", params=ways(), ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    made: Way = request.param
    if made.name == "colbert":
        pytest.importorskip("sentence_transformers")
    return made


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, Any]]:
    """Label by doc_id."""
    source = random.Random(3)
    return {f"d{number:02d}": random_label(source) for number in range(N_DOCS)}


@pytest.fixture(scope="module")
def index(
    way: Way, kept: Mapping[str, Any], small_models: SmallModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalIndex]:
    folder = tmp_path_factory.mktemp("permissions")
    labels = "".join(json.dumps({"_id": doc_id, **label}) + "\n" for doc_id, label in kept.items())
    (folder / "labels.jsonl").write_text(labels)
    corpus = write(folder, random_texts(N_DOCS))
    built(way, small_models, corpus, folder / "index", labels=folder / "labels.jsonl")
    built(way, small_models, corpus, folder / "open")
    with LocalIndex.open(folder / "index") as opened:
        yield opened


@pytest.fixture(scope="module")
def everything(way: Way, index: LocalIndex) -> Iterator[dict[str, list[tuple[str, float]]]]:
    """What each retriever finds where nobody says who may read."""
    with LocalIndex.open(index.path.parent / "open") as unlabelled:
        yield {name: ranked(retriever) for name, retriever in way.retrievers(unlabelled).items()}


@settings(max_examples=30)
@given(asker=askers)
def test_hits_are_those_that_a_plain_rule_lets_through(
    way: Way,
    index: LocalIndex,
    everything: Mapping[str, list[tuple[str, float]]],
    kept: Mapping[str, dict[str, Any]],
    asker: dict[str, Any],
) -> None:
    for name, retriever in way.retrievers(index).items():
        hits = ranked(retriever, asked_by(read_asker(asker)))
        expected = [(doc_id, score) for doc_id, score in everything[name] if reads(asker, kept[doc_id])]
        assert [doc_id for doc_id, _ in hits] == [doc_id for doc_id, _ in expected], name
        assert [score for _, score in hits] == pytest.approx([score for _, score in expected], abs=1e-5), name


def test_where_nobody_says_who_asks_public_documents_are_found_alone(
    way: Way, index: LocalIndex, kept: Mapping[str, dict[str, Any]]
) -> None:
    public = {doc_id for doc_id, label in kept.items() if reads({}, label)}
    assert 0 < len(public) < N_DOCS
    for retriever in way.retrievers(index).values():
        assert {doc_id for doc_id, _ in ranked(retriever)} <= public


def test_indexes_searched_as_one_keep_what_each_says(
    way: Way, index: LocalIndex, kept: Mapping[str, dict[str, Any]]
) -> None:
    if way.leg == "promptreps":
        pytest.skip("cannot be searched over several indexes")
    asker = {"user": "ann", "tenant": "north", "groups": ["docs"]}
    with open_index(joined_address([index.path, index.path.parent / "open"])) as joined:
        assert joined.labelled
        rows = joined.rows(asked_by(read_asker(asker)))
        ids = {document.doc_id for document in joined.documents.many(rows)}
    mine = {f"index/{doc_id}" for doc_id, label in kept.items() if reads(asker, label)}
    assert ids == mine | {f"open/{doc_id}" for doc_id in kept}


def test_a_run_of_another_system_shows_no_more(index: LocalIndex, kept: Mapping[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.trec").write_text("".join(f"q Q0 {doc_id} 1 {n} x\n" for n, doc_id in enumerate(kept)))
    retriever = RunRetriever(run=str(tmp_path / "a.trec"), index=index)
    [unasked] = retriever.retrieve([Query(qid="q", text="x")], k=N_DOCS)
    assert set(unasked.doc_ids) == {doc_id for doc_id, label in kept.items() if reads({}, label)}


# --- the set with the cases ---


@pytest.mark.data
@pytest.mark.parametrize(
    "legs", [("lexical",), pytest.param(("lexical", "dense"), marks=(pytest.mark.models, pytest.mark.slow))]
)
def test_all_cases_of_the_manual_pages_come_out_right(eval_data: Path, tmp_path: Path, legs: tuple[str, ...]) -> None:
    folder = eval_data / "docs-manpages"

    def lines(name: str) -> list[dict[str, Any]]:
        with gzip.open(folder / name) as file:
            return [json.loads(line) for line in file]

    users = {line["user"]: line for line in lines("users.jsonl.gz")}
    who = {name: read_asker({key: line[key] for key in ("user", "tenant", "groups")}) for name, line in users.items()}
    queries = {line["_id"]: line["text"] for line in lines("queries.jsonl.gz")}
    # What is encoded are the first words of each page: who may read it does not hang on how long it is.
    corpus = tmp_path / "corpus.jsonl"
    most = 200 if "dense" in legs else None
    pages = [line | {"text": line["text"][:most]} for line in lines("corpus.jsonl.gz")]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in pages))
    build_index(
        corpus,
        tmp_path / "i",
        legs=legs,
        settings=IndexSettings().judging_documents(),
        labels=folder / "acl.jsonl.gz",
    )
    graph = "hybrid" if "dense" in legs else "bm25"
    with LocalIndex.open(tmp_path / "i") as index:
        counts = {name: len(index.rows(asked_by(asker))) for name, asker in who.items()}
        assert counts == {name: line["readable"] for name, line in users.items()}
        readable = {name: {d.doc_id for d in index.documents.many(index.rows(asked_by(a)))} for name, a in who.items()}
        cases = lines("acl_cases.jsonl.gz")
        assert len(cases) == 2045
        assert all((case["doc_id"] in readable[case["user"]]) == case["allowed"] for case in cases)
        with load_pipeline(graph, index=index) as pipeline:
            asked = [
                Query(qid=str(n), text=queries[case["query_id"]], where=asked_by(who[case["user"]]))
                for n, case in enumerate(cases)
            ]
            hits = [set(ranking.doc_ids) for ranking in pipeline.search_batch(asked, k=100)]
            assert all(found <= readable[case["user"]] for found, case in zip(hits, cases, strict=True))
            right = [found for found, case in zip(hits, cases, strict=True) if case["allowed"]]
            assert sum(map(bool, right)) == len(right)
