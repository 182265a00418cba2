"""A transform that needs a model: named in a graph, recorded in the index, compared when the index is opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.arguments import require_positive
from rag.core.errors import IndexMismatch, SpecError, UnknownComponent
from rag.core.protocols import LLM, ScoringLLM
from rag.core.types import Document, Message, SamplingParams
from rag.graph.load import load_spec
from rag.graph.spec import GraphSpec
from rag.graph.transforms import make_transform
from rag.indexing import build_index, index_key
from rag.models.identity import model_identity
from rag.stages import TRANSFORMS
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings, TransformSettings

SMALL: dict[str, Any] = {"use": "llm.scripted", "with": {"replies": ["needle"]}}


class Notes:
    """Lets legs find a document by what a model writes of it."""

    def __init__(self, *, llm: LLM, n: int = 1) -> None:
        require_positive("transform.test_notes", n=n)
        self.llm, self.n = llm, n

    def describe(self) -> dict[str, Any]:
        return {"model": model_identity(self.llm)}

    def transform(self, documents: Sequence[Document]) -> list[Document]:
        prompts = [(Message(role="user", content=document.text),) for document in documents for _ in range(self.n)]
        notes = iter([reply.text for reply in self.llm.complete(prompts, SamplingParams())])
        return [self._with(document, [next(notes) for _ in range(self.n)]) for document in documents]

    def _with(self, document: Document, notes: Sequence[str]) -> Document:
        index_text = "\n".join([document.index_text, *notes])
        return replace(document, metadata={**document.metadata, "index_text": index_text})


@pytest.fixture(autouse=True)
def _notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSFORMS._table, "test_notes", Notes)


def graph(model: dict[str, Any] = SMALL, *, names: str = "small", transforms: Any = None) -> dict[str, Any]:
    rewrite = {"use": "test_notes", "with": {"llm": "small", "n": 1}}
    return {
        "version": 1,
        "index": {"transforms": [rewrite] if transforms is None else transforms},
        "models": {names: model},
        "nodes": {"found": {"use": "retrieve.bm25", "k": 5}},
        "output": "found",
    }


def settings(**arguments: Any) -> IndexSettings:
    return load_spec(graph(**arguments)).graph.index


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "one.py").write_text("def give(x):\n    return x\n")
    return folder


def test_a_named_model_stands_in_the_settings_as_it_is_defined() -> None:
    [rewrite] = settings().transforms
    assert rewrite.params == {"llm": SMALL, "n": 1}
    again = load_spec(GraphSpec.model_validate(graph())).graph
    assert load_spec(again).graph == again


def test_an_unknown_model_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(
        "version: 1\n"
        "index:\n"
        "  transforms:\n"
        "    - use: test_notes\n"
        "      with:\n"
        "        llm: smal\n"
        "models: {small: {use: llm.scripted}}\n"
        "nodes: {found: {use: retrieve.bm25, k: 5}}\n"
        "output: found\n"
    )
    with pytest.raises(SpecError, match=r"graph.yaml:6: transform.test_notes: no model 'smal'.*Did you mean 'small'"):
        load_spec(str(file))


def test_transforms_without_models_are_as_they_were() -> None:
    assert settings(transforms=[{"use": "identifiers"}]).transforms == (TransformSettings(use="identifiers"),)
    assert settings(transforms=[{"use": "unknown", "with": {"llm": "small"}}]).transforms[0].params == {"llm": "small"}
    assert "transforms" not in load_spec("bm25").graph.index.model_fields_set


def test_what_the_model_wrote_is_found_and_not_read(source: Path, tmp_path: Path) -> None:
    build_index([source], tmp_path / "idx", settings=settings(), legs=["lexical"])
    with LocalIndex.open(tmp_path / "idx") as index:
        [rows], _ = index.leg("lexical").search([{"needl": 1.0}], k=1)
        document = index.documents[int(rows[0])]
        assert "needle" in document.index_text
        assert "needle" not in document.full_text


def test_the_manifest_records_the_model_and_another_is_refused(source: Path, tmp_path: Path) -> None:
    build_index([source], tmp_path / "idx", settings=settings(), legs=["lexical"])
    other = {"use": "llm.scripted", "with": {"replies": ["other"]}}
    with LocalIndex.open(tmp_path / "idx") as index:
        assert index.manifest.settings.transforms[0].params["llm"] == SMALL
        index.check(settings(), ["lexical"])
        with pytest.raises(IndexMismatch, match=r"transforms \[test_notes .*needle.*the graph asks for .*other"):
            index.check(settings(model=other), ["lexical"])
        with pytest.raises(IndexMismatch):
            index.check(settings(transforms=[]), ["lexical"])
    assert index_key([source], settings=settings()) != index_key([source], settings=settings(model=other))


def test_another_model_or_other_weights_index_anew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(**arguments: Any) -> bool:
        return build_index([source], tmp_path / "idx", settings=settings(**arguments), legs=["lexical"]).unchanged

    assert [built(), built()] == [False, True]
    assert not built(model={"use": "llm.scripted", "with": {"replies": ["other"]}})
    built()
    monkeypatch.setattr(Notes, "describe", lambda self: {"model": "other weights"})
    assert [built(), built()] == [False, True]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"llm": "small"}, SpecError, "a model is a name from the graph's models, or {use, with}; got 'small'"),
        ({"llm": {"use": "llm.scripted", "x": 1}}, SpecError, "a model is a name"),
        ({"llm": {"use": "encoder.x"}}, SpecError, "no kind of model 'encoder'"),
        ({"llm": {"use": "llm.scriptde"}}, UnknownComponent, "Did you mean 'scripted'"),
        ({"llm": {"use": "llm.scripted", "with": {"reply": "x"}}}, SpecError, "reply"),
        ({"llm": SMALL, "n": 0}, SpecError, "n must be at least 1"),
        ({}, SpecError, "llm"),
    ],
)
def test_a_wrong_model_is_refused(params: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_transform(TransformSettings(use="test_notes", params=params), {})


def test_transforms_of_one_index_share_a_model() -> None:
    models: dict[str, Any] = {}
    made = [make_transform(TransformSettings(use="test_notes", params={"llm": SMALL}), models) for _ in range(2)]
    assert made[0].llm is made[1].llm
    assert isinstance(made[0].llm, ScriptedLLM)


class Rating:
    """A transform whose model must score."""

    def __init__(self, *, llm: ScoringLLM) -> None:
        self.llm = llm

    def transform(self, documents: Sequence[Document]) -> list[Document]:
        return list(documents)


@pytest.fixture
def rating() -> Iterator[TransformSettings]:
    TRANSFORMS.add("test_rating", Rating)
    yield TransformSettings(use="test_rating")
    del TRANSFORMS._table["test_rating"]


def test_a_model_that_has_a_method_in_name_alone_is_refused_with_its_reason(rating: TransformSettings) -> None:
    def made(dialect: str) -> Any:
        server = {"use": "llm.server", "with": {"model": "m", "url": "http://localhost:1/v1", "dialect": dialect}}
        return make_transform(rating.model_copy(update={"params": {"llm": server}}), {})

    assert made("vllm").llm.model_name == "m"
    with pytest.raises(
        SpecError, match=r"needs a model that can score given texts; .*cannot \(dialect openai has no word for it"
    ):
        made("openai")
