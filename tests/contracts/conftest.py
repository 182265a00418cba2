"""Makes any registered component: resources by the type of its parameters, everything else by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from generators.llm.transformers import TransformersLLM
from plugins.media.tests.drawn import random_tower
from rag.core.types import Answer, Context, Document, Query, Ranking
from rag.graph.kinds import TABLES
from rag.graph.signature import REQUIRED, needed_powers, signature
from rag.indexing import build_index
from retrievers import RETRIEVERS
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs import LEGS
from tests.calibrations import GATE, saved
from tests.generators.llm.conftest import save_random_model
from tests.other_server import OtherServer
from tests.rerankers.tiny_classifier import tiny_classifier
from tests.small_legs import SECTIONS, SmallModels, usual_settings
from tests.tiny_models import tiny_sentence_model

Make = Callable[[str, str], Any]

SMALL: dict[str, dict[str, Any]] = {
    "check.encoder": {"threshold": 0.5},
    "generate.cited": {"max_tokens": 8},
    "generate.closed_book": {"max_tokens": 8},
    "generate.chain": {"steps": 2, "plan_tokens": 8, "max_tokens": 8},
    "generate.follow_up": {"rounds": 2, "questions": 2, "plan_tokens": 8, "max_tokens": 8},
    "generate.label": {"labels": ["one", "another"]},
    "generate.stride": {"stride": 4, "max_tokens": 8, "max_words": 8},
    "reformulate.code": {"n": 2, "max_tokens": 8},
    "reformulate.decompose": {"max_tokens": 16},
    "reformulate.genqr_ensemble": {"n": 2, "max_tokens": 8},
    "reformulate.genqr_ensemble_rf": {"n": 2, "m": 2, "max_tokens": 8},
    "reformulate.genqr_fusion": {"n": 2, "max_tokens": 8},
    "reformulate.genqr_fusion_rf": {"n": 2, "source": "critic", "depth": 2, "max_tokens": 8},
    "reformulate.hyde": {"n": 2, "max_tokens": 8},
    "reformulate.multi_query": {"max_tokens": 16},
    "reformulate.query2doc": {"max_tokens": 8},
    "reformulate.sl_hyde": {"max_tokens": 8},
    "reformulate.step_back": {"max_tokens": 16},
    "reformulate.think": {"n": 2, "max_tokens": 8},
    "reformulate.tool_query": {"max_tokens": 16},
    "transform.code_switch": {"languages": ["de"]},
    "transform.rewrite_code": {"n": 2, "max_tokens": 8, "purpose_tokens": 8},
    "retrieve.collection": {"vector": "v", "text": "body", "metadata": ["source"]},
    "retrieve.mentions": {"batch": 2, "most": 4, "max_tokens": 8, "max_words": 8},
    "generate.persuade": {"goal": "that they rest", "sections": 2, "max_tokens": 8, "plan_tokens": 8},
    "generate.tally": {"batch": 2, "most": 4, "plan_tokens": 8, "max_words": 8},
    "generate.typed": {"n_shots": 0, "max_words": 8, "max_tokens": 8},
    "rerank.snippets": {"drop": False, "n_shots": 0, "max_words": 8, "max_tokens": 8},
    "rerank.listwise": {"window": 4, "stride": 2, "max_words": 8},
    "rerank.icr": {"max_words": 8},
    "rerank.pairwise": {"top": 2, "max_words": 8},
    "rerank.self_consistency": {"runs": 2, "params": {"window": 6, "stride": 3, "max_words": 8}},
    "rerank.setwise": {"top": 3, "max_words": 8},
    "rerank.tournament": {"stages": ((6, 3), (6, 2)), "max_words": 8},
    "assemble.sections": {"max_tokens": 60},
    "assemble.token_budget": {"max_tokens": 60},
}
"""Values that keep random models of a tiny window quick; names as in the YAML of a graph."""


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> TransformersLLM:
    """A real decoder with random weights: its output is noise, which every component must survive."""
    folder = save_random_model(tmp_path_factory.mktemp("decoder"))
    return TransformersLLM(model=str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def index(
    tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...], small_models: SmallModels
) -> LocalIndex:
    """The twelve documents with all legs, and those of plug-ins."""
    folder = tmp_path_factory.mktemp("contracts")
    texts = folder / "texts"
    texts.mkdir()
    for document in documents:
        (texts / f"{document.doc_id}.md").write_text(f"# {document.title}\n\n{document.text}\n")
    pictures = {"tower": str(random_tower(folder / "tower")), "encoder": str(small_models.sentences)}
    (folder / "hears.tflite").write_bytes(b"opened where there is a sound, and texts have none")
    (folder / "classes.csv").write_text("display_name\nBell\n")
    hears = {
        "tower": str(folder / "hears.tflite"),
        "names": str(folder / "classes.csv"),
        "encoder": pictures["encoder"],
    }
    of_plugins = {
        "pictures": pictures,
        "sounds": hears,
        "named": {"encoder": str(small_models.sentences)},
        "promptreps": SECTIONS["promptreps"]["decoder"](small_models),
    }
    settings = IndexSettings.model_validate({**usual_settings(small_models).model_dump(), **of_plugins})
    build_index([texts], folder / "idx", settings=settings, legs=(*LEGS.shipped, *of_plugins))
    return LocalIndex.open(folder / "idx")


@dataclass(frozen=True, slots=True)
class Inner:
    """An inner graph: the best passage by BM25, and an answer from it. Its budget is never spent."""

    retriever: Any
    generator: Any

    def run(self, queries: Sequence[Query]) -> list[Answer]:
        rankings = self.retriever.retrieve(queries, k=1) if queries else []
        answers: list[Answer] = self.generator.generate([Context(query=r.query, passages=r.hits) for r in rankings])
        return answers

    def spent(self, query: Query) -> str:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What parameters are filled with: by type, and by name (`plain`)."""

    index: LocalIndex
    llm: TransformersLLM
    plain: dict[str, str]


def _by_length(body: dict[str, Any]) -> dict[str, Any]:
    texts = body["documents"]
    return {"results": [{"index": n, "relevance_score": len(text)} for n, text in enumerate(texts)]}


@pytest.fixture(scope="session")
def other_server() -> Iterator[str]:
    """Address of a server that reranks."""
    with OtherServer(v1__rerank=_by_length).running() as url:
        yield f"{url}/v1"


def _collection(folder: Path, index: LocalIndex, encoder: SentenceEncoder) -> str:
    """Address of a collection with the documents of the index, as somebody else fills one."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(folder))
    form = models.VectorParams(size=encoder.dim, distance=models.Distance.DOT)
    client.create_collection("theirs", vectors_config={"v": form})
    vectors = encoder.encode([document.text for document in index.documents], role="document")
    points = [
        models.PointStruct(id=row, vector={"v": vector.tolist()}, payload={"body": document.text, **document.metadata})
        for row, (vector, document) in enumerate(zip(vectors, index.documents, strict=True))
    ]
    client.upsert("theirs", points)
    client.close()
    return f"qdrant+local://{folder}/theirs"


@pytest.fixture(scope="session")
def given(
    index: LocalIndex, tiny_llm: TransformersLLM, other_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Given:
    run = tmp_path_factory.mktemp("runs") / "run.trec"
    lines = [f"q1 Q0 d{i:02}.md#1 {i} {20 - i} x" for i in range(1, 11)]
    run.write_text("\n".join(lines) + "\n")
    terms = run.with_name("terms.yaml")
    terms.write_text("terms: [[laptop, notebook]]\n")
    dictionary = run.with_name("names.json")
    dictionary.write_text('{"laptop": {"de": "Klapprechner", "fr": "ordinateur portable"}}')
    triples = run.with_name("triples.tsv")
    triples.write_text("frame\twarranty\tten_years\nlaptop\tlost\tofficer\n")
    sentences = tiny_sentence_model(run.with_name("sentences"))
    plain = {
        "triples": str(triples),
        "model": str(tiny_classifier(run.with_name("classifier"))),
        "checkpoint": str(
            tiny_classifier(run.with_name("nli"), labels=3, names=("entailment", "neutral", "contradiction"))
        ),
        "encoder": str(sentences),
        "address": _collection(run.with_name("collection"), index, SentenceEncoder(model=str(sentences)))
        if "collection" in RETRIEVERS
        else "",
        "run": str(run),
        "dictionary": str(dictionary),
        "glossary": str(terms),
        "cache": str(run.with_name("cache")),
        "url": other_server,
        "calibration": str(saved(run.with_name("calibration.json"), gate=GATE)),
    }
    return Given(index=index, llm=tiny_llm, plain=plain)


@pytest.fixture(scope="session")
def make(given: Given) -> Make:
    """(stage, name) -> a component, its parameters filled by type."""
    plain = given.plain

    def of(stage: str, name: str, **more: Any) -> Any:
        registry, method = TABLES[stage]
        component = registry.get(name)
        values: dict[str, Any] = {**SMALL.get(f"{stage}.{name}", {}), **more}
        if f"{stage}.{name}" in ("rerank.cosine", "rerank.late_interaction"):  # whose own model is a real one
            values.setdefault("model", plain["encoder"])
        if f"{stage}.{name}" == "transform.captions":  # whose model has to see
            tower = given.index.manifest.settings.section("pictures").tower
            values |= {"captions": plain["run"], "tower": tower, "llm": None}
        for p in signature(component, method).params:
            if p.resource == "llm" and p.name not in values:
                assert all(hasattr(given.llm, power) for power in needed_powers(p.annotation))
                values[p.name] = given.llm
            elif p.resource == "index":
                values[p.name] = given.index
            elif p.resource == "retrieve":
                values[p.name] = of("retrieve", "bm25")
            elif p.resource == "graph":
                values[p.name] = Inner(of("retrieve", "bm25"), of("generate", "cited"))
            elif p.resource == "rerank":
                values[p.name] = of("rerank", str(p.default), **values.pop("params", {}))
            elif (
                p.parameters_of is None
                and p.name not in values
                and (p.default is REQUIRED or p.name in ("cache", "encoder"))
            ):
                values[p.name] = plain[p.name]
        return component(**values)

    return of


@pytest.fixture
def rankings_of_index(index: LocalIndex, queries: tuple[Query, ...]) -> list[Ranking]:
    """Every question with all units of the index, in BM25-less order of rows."""
    from rag.core.ranking import in_this_order

    units = [index.documents[row] for row in range(len(index))]
    return [Ranking(query=q, hits=in_this_order(units), source="first") for q in queries]
