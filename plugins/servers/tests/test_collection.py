"""A collection that somebody else filled, with the server's own client, is searched by the fields that a graph names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.servers.tests.conftest import Addresses
from rag import load_pipeline
from rag.errors import IndexProblem, SpecError
from rag.graphs import check, load_spec
from rag.indexes import SentenceEncoder, open_index
from rag.types import Query
from ragline_servers.address import ServerAddress
from ragline_servers.collection import CollectionRetriever
from tests.small_legs import SmallModels

TEXTS = ["a wheel and a fork", "paid leave", "a lost laptop", "a frame and a fork", "leave the stand"]
LANGUAGES = ["de", 'e"n\\', "de", None, "x' or row >= 0 or lang == 'ü☃"]
YEARS = [2019, 2020, 2021, 2022, 2023]


def fill_milvus(address: ServerAddress, vectors: Any, metric: str) -> None:
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(str(address.path))
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("lang", DataType.VARCHAR, max_length=64, nullable=True)
    schema.add_field("meta", DataType.JSON)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    indexes = client.prepare_index_params()
    indexes.add_index("embedding", index_type="FLAT", metric_type=metric)
    client.create_collection(address.collection, schema=schema, index_params=indexes)
    rows = [
        {"key": f"k{n}", "lang": LANGUAGES[n], "meta": {"year": YEARS[n]}, "body": TEXTS[n], "embedding": vectors[n]}
        for n in range(len(TEXTS))
    ]
    client.insert(address.collection, rows)
    client.close()


def fill_qdrant(address: ServerAddress, vectors: Any, metric: str) -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(address.path))
    distance = {"IP": models.Distance.DOT, "L2": models.Distance.EUCLID}[metric]
    form = {"embedding": models.VectorParams(size=vectors.shape[1], distance=distance)}
    client.create_collection(address.collection, vectors_config=form)
    points = [
        models.PointStruct(
            id=n,
            vector={"embedding": vectors[n].tolist()},
            payload={"key": f"k{n}", "lang": LANGUAGES[n], "meta": {"year": YEARS[n]}, "body": TEXTS[n]},
        )
        for n in range(len(TEXTS))
    ]
    client.upsert(address.collection, points)
    client.close()


@pytest.fixture(scope="module", params=["IP", "L2"])
def filled(addresses: Addresses, small_models: SmallModels, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Parameters of the node that searches it."""
    address = ServerAddress.parse(addresses(f"theirs_{request.param}"))
    vectors = SentenceEncoder(model=str(small_models.sentences)).encode(TEXTS, role="document")
    fill = fill_milvus if address.scheme.startswith("milvus") else fill_qdrant
    fill(address, vectors, request.param)
    fill(ServerAddress.parse(f"{address}_short"), vectors[:, 1:], request.param)
    return {
        "address": str(address),
        "vector": "embedding",
        "text": "body",
        "doc_id": "key",
        "metadata": ["lang", "meta.year", "body"],
        "encoder": str(small_models.sentences),
    }


def found(given: dict[str, Any], where: Any, k: int = 9) -> list[str]:
    [ranking] = CollectionRetriever(**given).retrieve([Query(qid="1", text="a fork", where=where)], k=k)
    return [hit.doc_id for hit in ranking.hits]


def test_hits_are_the_nearest_with_their_fields(filled: dict[str, Any]) -> None:
    encoder = SentenceEncoder(model=filled["encoder"])
    vectors, [query] = encoder.encode(TEXTS, role="document"), encoder.encode(["a fork"], role="query")
    nearest = np.argsort(np.square(vectors - query).sum(axis=1) if "L2" in filled["address"] else -(vectors @ query))
    [ranking, blank] = CollectionRetriever(**filled).retrieve(
        [Query(qid="1", text="a fork"), Query(qid="2", text=" ")], k=3
    )
    assert [hit.doc_id for hit in ranking.hits] == [f"k{n}" for n in nearest[:3]]
    assert [hit.document.text for hit in ranking.hits] == [TEXTS[n] for n in nearest[:3]]
    assert [hit.document.metadata.get("lang") for hit in ranking.hits] == [LANGUAGES[n] for n in nearest[:3]]
    assert [hit.document.metadata["meta.year"] for hit in ranking.hits] == [YEARS[n] for n in nearest[:3]]
    assert list(map(float, [hit.score for hit in ranking.hits])) == sorted(
        (h.score for h in ranking.hits), reverse=True
    )
    assert (blank.hits, blank.outcome.kind) == ((), "empty")


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"lang": "de"}, {"k0", "k2"}),
        ({"lang": LANGUAGES[1]}, {"k1"}),
        ({"lang": LANGUAGES[4]}, {"k4"}),
        ({"lang": ["de", LANGUAGES[4]]}, {"k0", "k2", "k4"}),
        ({"not": {"lang": "de"}}, {"k1", "k3", "k4"}),
        ({"lang": {"exists": False}}, {"k3"}),
        ({"meta.year": {"gte": 2021}}, {"k2", "k3", "k4"}),
        ({"meta.year": 2021.0}, {"k2"}),
        ({"not": {"meta.year": {"lt": 2022}}, "lang": {"exists": True}}, {"k4"}),
        ({"lang": '" or key != "'}, set()),
        ({"lang": "\\"}, set()),
        ({"body": "paid leave"}, {"k1"}),
        ({"not": {"body": ["paid leave", "a lost laptop"]}}, {"k0", "k3", "k4"}),
    ],
)
def test_filters_are_asked_in_the_servers_language(filled: dict[str, Any], where: Any, ids: set[str]) -> None:
    assert set(found(filled, where)) == ids


def test_what_a_server_cannot_ask_is_named(filled: dict[str, Any]) -> None:
    for where in ({"lang": {"glob": "a_*"}}, {"meta.year": {"gte": "2024-03-05"}}, {"lang": "\ud800"}):
        with pytest.raises(SpecError, match=r"where: .*(cannot ask '(glob|gte)'|halves of characters)"):
            found(filled, where)
    with pytest.raises(
        SpecError, match=r"a filter names 'owner', which is not in 'metadata' of the node \(lang, meta\.year, body\)"
    ):
        found(filled, {"owner": "me"})
    with pytest.raises(SpecError, match="a filter names 'owner'"):
        CollectionRetriever(**filled, where={"owner": "me"})


def test_another_encoder_vector_or_field_is_named(filled: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"vector 'embedding' has \d+ numbers, and the encoder makes \d+"):
        found({**filled, "address": filled["address"] + "_short"}, None)
    with pytest.raises(SpecError, match=r"has no vector 'dense'; it has '?embedding"):
        found({**filled, "vector": "dense"}, None)
    with pytest.raises((SpecError, IndexProblem), match="nofield"):
        found({**filled, "text": "nofield"}, None)
    with pytest.raises(IndexProblem, match="could not describe a collection"):
        found({**filled, "address": filled["address"] + "_gone"}, None)


def test_it_is_no_index_of_ours(filled: dict[str, Any]) -> None:
    with pytest.raises(IndexProblem, match=r"ragline did not make. Search it with retrieve\.collection in a graph"):
        open_index(filled["address"])


def test_a_graph_of_it_needs_no_index_and_its_check_asks_nobody(filled: dict[str, Any], tmp_path: Path) -> None:
    graph = tmp_path / "theirs.yaml"
    lines = [f"      {name}: {str(value)!r}" for name, value in filled.items() if name != "metadata"]
    text = "\n".join(
        ["version: 1", "nodes:", "  notes:", "    use: retrieve.collection", "    k: 2", "    with:", *lines]
    )
    graph.write_text(f"{text}\n      metadata: [lang, meta.year]\noutput: notes\n")
    with load_pipeline(str(graph)) as pipeline:
        assert len(pipeline.search("a fork").hits) == 2
    graph.write_text(graph.read_text().replace(filled["address"], "qdrant://192.0.2.1:6333/notes"))
    assert not check(load_spec(str(graph))).problems
