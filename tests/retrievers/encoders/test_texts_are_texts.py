"""A model that reads pictures too is given texts as texts, also where one is the path or the address of a picture."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from plugins.serve.tests.served import served
from rag.core.errors import SpecError
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.graph.spec import GraphSpec
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from rerankers.cross_encoder import CrossEncoderReranker
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.sentence_folder import Role
from retrievers.encoders.token_encoder import TokenEncoder
from tests.http_serving import http_serving
from tests.rerankers.tiny_classifier import tiny_classifier
from tests.retrievers.tiny_encoders import tiny_towers

pytestmark = pytest.mark.filterwarnings("ignore")  # of sentence-transformers, when it saves


@dataclass
class Bait:
    """Texts that lead to one picture: its path, its address and its bytes; and who came for it."""

    path: Path
    texts: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)


watched: list[Bait] = []


def _note_opening(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        for bait in watched:
            if str(arguments[0]) == str(bait.path):
                bait.taken.append(str(bait.path))


@pytest.fixture(scope="module")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bait]:
    from PIL import Image

    picture = BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(picture, "PNG")
    made = Bait(tmp_path_factory.mktemp("bait") / "private.png")
    made.path.write_bytes(picture.getvalue())

    class Gives(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.taken.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture.getvalue())

        def log_message(self, *_: Any) -> None:
            pass

    sys.addaudithook(_note_opening)  # for good, so it looks for nothing once the list is empty
    with http_serving(Gives) as url:
        inline = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
        made.texts += [
            "the bicycle frame",
            str(made.path),
            f"{url}/private.png",
            inline,
            f"{url}/a.mp4",
            f"{url}/a.wav",
        ]
        watched.append(made)
        yield made
        watched.clear()


@pytest.fixture(autouse=True)
def _nothing_taken(bait: Bait) -> Iterator[None]:
    bait.taken.clear()
    yield
    assert bait.taken == []


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_towers(tmp_path_factory.mktemp("towers") / "model")


def by_the_text_tower(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    """Unit vectors by transformers alone."""
    import torch
    from transformers import AutoTokenizer, CLIPModel

    model: Any = CLIPModel.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        encoded = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
        vectors = model.eval().get_text_features(**encoded).pooler_output.numpy()
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


@pytest.mark.parametrize("role", ["query", "document"])
def test_an_encoder_opens_no_text(towers: Path, bait: Bait, role: Role) -> None:
    made = SentenceEncoder(model=str(towers)).encode(bait.texts, role=role)
    made = made / np.linalg.norm(made, axis=1, keepdims=True)
    np.testing.assert_allclose(made, by_the_text_tower(towers, bait.texts), atol=1e-5)


def test_an_encoder_opens_no_text_that_stands_alone(towers: Path, bait: Bait) -> None:
    encoder = SentenceEncoder(model=str(towers))
    made = np.concatenate([encoder.encode([text], role="query") for text in bait.texts])
    np.testing.assert_allclose(made, encoder.encode(bait.texts, role="query"), atol=1e-5)


def test_a_router_whose_towers_read_pictures_opens_no_text(towers: Path, bait: Bait, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router, Transformer

    routed = Router.for_query_document(
        query_modules=[Transformer(str(towers))], document_modules=[Transformer(str(towers))]
    )
    SentenceTransformer(modules=[routed], device="cpu").save_pretrained(str(tmp_path / "routed"))
    made = SentenceEncoder(model=str(tmp_path / "routed")).encode(bait.texts, role="query")
    np.testing.assert_allclose(made, SentenceEncoder(model=str(towers)).encode(bait.texts, role="query"), atol=1e-5)


def test_a_folder_that_reads_pictures_alone_is_refused(towers: Path, tmp_path: Path) -> None:
    shutil.copytree(towers, tmp_path / "pictures")
    file = tmp_path / "pictures" / "sentence_bert_config.json"
    config = json.loads(file.read_text())
    del config["modality_config"]["text"]
    file.write_text(json.dumps(config))
    with pytest.raises(SpecError, match="reads no texts"):
        SentenceEncoder(model=str(tmp_path / "pictures")).encode(["a"], role="query")


def test_a_multi_vector_encoder_opens_no_text(bait: Bait, tmp_path: Path) -> None:
    encoder = TokenEncoder(model=str(tiny_towers(tmp_path / "several", several=True)))
    made = encoder.encode(bait.texts, role="query")
    for place, text in enumerate(bait.texts):
        assert len(made.row(place)) == min(24, len(encoder.encode([text], role="query").row(0)))
        assert made.row(place) == pytest.approx(encoder.encode([text], role="query").row(0), abs=1e-5)


def test_a_cross_encoder_opens_neither_text_of_a_pair(bait: Bait, tmp_path: Path) -> None:
    reranker = CrossEncoderReranker(model=str(tiny_classifier(tmp_path / "model")), device="cpu")
    hits = tuple(
        ScoredDocument(document=Document(doc_id=str(at), text=text), score=-float(at))
        for at, text in enumerate(bait.texts)
    )
    for text in bait.texts:
        [found] = reranker.rerank([Ranking(query=Query(qid="q", text=text), hits=hits)], k=9)
        assert len(found.hits) == len(bait.texts)


def test_a_server_opens_no_text_that_it_is_sent(towers: Path, bait: Bait, tmp_path: Path) -> None:
    """Its encoder answers /v1/embeddings, reads questions, and serves the leg of another index."""
    (tmp_path / "texts").mkdir()
    for at, text in enumerate(bait.texts):
        (tmp_path / "texts" / f"{at}.md").write_text(text)

    def spec(encoder: Any) -> GraphSpec:
        nodes = {"dense": {"use": "retrieve.dense", "k": 9}}
        return GraphSpec.model_validate(
            {"version": 1, "index": {"dense": {"encoder": encoder}}, "nodes": nodes, "output": "dense"}
        )

    own = spec(str(towers))
    build_index([tmp_path / "texts"], tmp_path / "own", settings=own.index, legs=("dense",))
    with load_pipeline(own, index=tmp_path / "own") as pipeline:
        app = create_app(pipeline, ServeSettings(model="towers"))
        with TestClient(app) as asking:
            given = asking.post("/v1/embeddings", json={"model": "towers", "input": bait.texts})
            assert len(given.json()["data"]) == len(bait.texts)
            for text in bait.texts:
                assert asking.post("/v1/search", json={"query": text}).json()["hits"]
        with served(create_app(pipeline, ServeSettings(model="towers"))) as running:
            other = spec({"url": f"{running.url}/v1", "model": "towers"})
            build_index([tmp_path / "texts"], tmp_path / "other", settings=other.index, legs=("dense",))
            with load_pipeline(other, index=tmp_path / "other") as asked:
                for text in bait.texts:
                    assert asked.search(text)
