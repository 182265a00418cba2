"""An encoder behind a server: the vectors of a real one, the forms of others, and a model that changes unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.serve.tests.asking import create_app
from plugins.serve.tests.served import served
from rag.core.errors import IndexMismatch, MissingModel, SpecError, StageError
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.server_encoder import ServedEncoder
from retrievers.legs.dense.settings import ServedEncoderSettings
from tests.other_server import OtherServer
from tests.tiny_models import tiny_sentence_model

TEXTS = ["a b c", "d e", "", "f g h i", "  "]


def settings(**encoder: Any) -> IndexSettings:
    return IndexSettings.model_validate({"dense": {"encoder": encoder}})


@pytest.fixture(scope="module")
def rag_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, LocalIndex]]:
    """A real server of ours, over an index with a real encoder."""
    folder = tmp_path_factory.mktemp("served")
    model = tiny_sentence_model(folder / "encoder")
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("a b c")
    graph = {
        "version": 1,
        "index": {"dense": {"encoder": str(model)}},
        "nodes": {"dense": {"use": "retrieve.dense", "k": 3}},
        "output": "dense",
    }
    build_index(folder / "texts", folder / "idx", settings=IndexSettings.model_validate(graph["index"]), legs=["dense"])
    with load_pipeline(graph, index=folder / "idx") as pipeline, served(create_app(pipeline)) as running:
        yield f"{running.url}/v1", LocalIndex.open(folder / "idx")


def vector(text: str) -> list[float]:
    return [float(len(text)), float(text.count("a")), 3.0]


def test_vectors_are_those_of_the_server_in_order(rag_serve: tuple[str, LocalIndex]) -> None:
    url, index = rag_serve
    encoder = ServedEncoder(ServedEncoderSettings(url=url, model="ragline", texts_per_request=2, requests_at_once=3))
    wanted = index.leg("dense").encoder.encode([text for text in TEXTS if text.strip()], role="document")
    given = encoder.encode(TEXTS, role="document")
    assert encoder.dim == wanted.shape[1]
    np.testing.assert_allclose(given[[0, 1, 3]], wanted, atol=1e-6)
    assert not given[[2, 4]].any()


def test_an_index_is_built_and_searched_through_a_server(rag_serve: tuple[str, LocalIndex], tmp_path: Path) -> None:
    url, _ = rag_serve
    (tmp_path / "notes").mkdir()
    for name, text in (("one", "a b c"), ("two", "x y z")):
        (tmp_path / "notes" / f"{name}.txt").write_text(text)
    wanted = settings(url=url, model="ragline")
    report = build_index(tmp_path / "notes", tmp_path / "idx", settings=wanted, legs=["dense"])
    assert report.n_encoded == 2
    again = build_index([], tmp_path / "idx")
    assert (again.unchanged, again.n_encoded) == (True, 0)
    (tmp_path / "notes" / "one.txt").write_text("a b d")
    assert build_index([], tmp_path / "idx").n_reused_vectors == 1
    graph = {
        "version": 1,
        "nodes": {"dense": {"use": "retrieve.dense", "k": 2}},
        "output": "dense",
        "index": {"dense": {"encoder": {"url": url, "model": "ragline"}}},
    }
    with load_pipeline(graph, index=tmp_path / "idx") as pipeline:
        assert pipeline.search("a b d").doc_ids[0] == "notes/one.txt#1"
        assert pipeline.index is not None
        assert pipeline.index.model_names(["dense"]) == []
        assert "gives the vectors that it gave" in pipeline.index.health("dense")[0]
    other = {**graph, "index": {"dense": {"encoder": {"url": url, "model": "another"}}}}
    with pytest.raises(IndexMismatch, match=r"built with dense.encoder"):
        load_pipeline(other, index=tmp_path / "idx")


@pytest.mark.parametrize(
    ("api", "path", "reply"),
    [
        ("ollama", "api__embed", lambda body: {"embeddings": [vector(text) for text in body["input"]]}),
        ("tei", "embed", lambda body: [vector(text) for text in body["inputs"]]),
        (
            "openai",
            "v1__embeddings",
            lambda body: {
                "data": [
                    {"index": n, "embedding": vector(text)} for n, text in reversed(list(enumerate(body["input"])))
                ]
            },
        ),
    ],
)
def test_other_forms_are_spoken(api: Any, path: str, reply: Callable[[dict[str, Any]], Any]) -> None:
    fake = OtherServer(**{path: reply})
    with fake.running() as url:
        root = f"{url}/v1" if api != "tei" else url
        encoder = ServedEncoder(
            ServedEncoderSettings(url=root, model="m", api=api, query_prompt="query: ", document_prompt="passage: ")
        )
        given = encoder.encode(["a banana"], role="query")
        expected = np.array(vector("query: a banana"), np.float32)
        np.testing.assert_allclose(given[0], expected / np.linalg.norm(expected), atol=1e-6)
        encoder.encode(["x"], role="document")
    assert any("passage: x" in str(body) for _, body in fake.bodies)


def test_a_model_that_changed_under_its_name_is_refused_and_built_anew(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("banana")
    turned = [False]

    def reply(body: dict[str, Any]) -> Any:
        return [vector(text)[:: -1 if turned[0] else 1] for text in body["inputs"]]

    with OtherServer(embed=reply).running() as url:
        wanted = settings(url=url, model="m", api="tei")
        build_index(tmp_path / "a.txt", tmp_path / "idx", settings=wanted, legs=["dense"])
        turned[0] = True
        with LocalIndex.open(tmp_path / "idx") as index, pytest.raises(IndexMismatch, match="gives another vector"):
            index.leg("dense").encoder.encode(["x"], role="query")
        assert build_index([], tmp_path / "idx").n_encoded == 1
        with LocalIndex.open(tmp_path / "idx") as index:
            assert index.leg("dense").encoder.encode(["x"], role="query").shape == (1, 3)


@pytest.mark.parametrize(
    "reply",
    [{}, [], [[1.0, 2.0], [1.0]], [["a"]], [[float("1e400")]], {"embeddings": None}, [[1.0], [2.0]], "text", [[]]],
)
def test_what_is_no_vector_is_said(reply: Any) -> None:
    with (
        OtherServer(embed=lambda body: reply).running() as url,
        pytest.raises(StageError, match="did not give a vector"),
    ):
        _ = ServedEncoder(ServedEncoderSettings(url=url, model="m", api="tei")).dim


def test_a_server_that_is_not_there_or_knows_no_such_path_is_said() -> None:
    gone = ServedEncoderSettings(url="http://127.0.0.1:9", model="m", retries=0)
    with pytest.raises(MissingModel, match=r"no server answers at http://127\.0\.0\.1:9"):
        _ = ServedEncoder(gone).dim
    with OtherServer().running() as url, pytest.raises(SpecError, match=r"has no /embed or no model 'm'"):
        _ = ServedEncoder(ServedEncoderSettings(url=url, model="m", api="tei")).dim


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http:// or https://"):
        ServedEncoderSettings(url=url, model="m")


def test_a_key_goes_only_where_the_operator_lets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    with pytest.raises(SpecError, match=r"index.dense.encoder: the graph wants the key in \$MY_KEY"):
        ServedEncoder(ServedEncoderSettings(url="https://evil.example/v1", model="m", api_key_variable="MY_KEY"))
