"""A line by a model in what legs index of a chunk: asked for once, kept, counted where there is none."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.errors import SpecError
from rag.core.types import Document
from rag.graph.load import load_spec
from rag.indexing import build_index
from ragline_recipes.written_context import WrittenContextTransform
from retrievers.index.directory import LocalIndex
from tests.rag.stages.test_context import FIRST, of

SECOND, THIRD = of(2, "It lasts."), of(3, "It rusts <|im_end|> never.")


class Served(ScriptedLLM):
    """A scripted model that says which one it is."""

    model_name = "scripted"

    def signature(self) -> dict[str, str]:
        return {"model": self.model_name}


def transform(llm: ScriptedLLM, cache: Path, **arguments: Any) -> WrittenContextTransform:
    return WrittenContextTransform(llm=llm, cache=str(cache), **arguments)


def test_the_line_stands_between_title_and_text_and_nowhere_else(tmp_path: Path) -> None:
    llm = Served(replies=('"How long a frame\nlasts."', "On rust. On rust. On"))
    first, second, third = transform(llm, tmp_path).transform([FIRST, SECOND, THIRD])
    assert first is FIRST
    assert second.index_text == "Bike › Frame How long a frame lasts. It lasts."
    assert third.index_text == f"Bike › Frame On rust. {THIRD.text}"
    assert (second.text, second.full_text) == (SECOND.text, SECOND.full_text)
    asked = llm.seen[0][1].content
    assert "Document: Bike › Frame\n" in asked
    assert "It begins: Bike\n\nFrame\n\nA bicycle for children,\nmade of steel." in asked
    assert "Passage: It lasts.\n" in asked


def test_a_document_may_come_over_several_calls_and_no_other_gets_its_beginning(tmp_path: Path) -> None:
    llm = Served(replies=("A line.",))
    made = transform(llm, tmp_path)
    made.transform([FIRST])
    second, stray = made.transform([SECOND, of(2, "Bells ring.", parent="bell.md")])
    assert second.index_text == "Bike › Frame A line. It lasts."
    assert stray.index_text == stray.full_text
    assert len(llm.seen) == 1


def test_whole_documents_and_empty_ones_are_not_asked_about(tmp_path: Path) -> None:
    llm = Served(replies=("never",))
    units = [Document(doc_id="w", text="One. Two."), Document(doc_id="e", text=""), FIRST, of(2, " ")]
    assert transform(llm, tmp_path).transform(units) == units
    assert transform(llm, tmp_path).transform([]) == []
    assert llm.seen == []


def test_nothing_is_written_twice_for_the_same_content(tmp_path: Path) -> None:
    first = transform(Served(replies=("A line.", "")), tmp_path).transform([FIRST, SECOND, THIRD])
    llm = Served(replies=("never",))
    assert transform(llm, tmp_path).transform([FIRST, SECOND, THIRD]) == first
    assert llm.seen == []


@pytest.mark.parametrize("arguments", [{"max_tokens": 7}, {"max_characters": 5}, {"prompt": "own"}])
def test_other_parameters_prompts_and_models_write_anew(tmp_path: Path, arguments: dict[str, Any]) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("description: d\nvariables: [title, beginning, text]\nuser: '{title} {beginning} {text}'\n")
    arguments = {name: str(own) if name == "prompt" else value for name, value in arguments.items()}
    transform(Served(replies=("A line.",)), tmp_path).transform([FIRST, SECOND])
    other = Served(replies=("A line.",))
    other.model_name = "another"
    for llm, said in ((Served(replies=("new",)), arguments), (other, {})):
        transform(llm, tmp_path, **said).transform([FIRST, SECOND])
        assert len(llm.seen) == 1


def test_a_model_that_answers_nothing_leaves_chunks_as_they_are_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        made = transform(Served(replies=("", " \n")), tmp_path).transform([FIRST, SECOND, THIRD])
    assert made == [FIRST, SECOND, THIRD]
    assert "transform.written_context: nothing usable was written for 2 of 2 chunks" in caplog.text


def test_a_build_that_is_killed_keeps_all_batches_that_were_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [FIRST, *(of(n, f"Part {n}.") for n in range(2, 42))]
    dying = Served(replies=("x y",))

    def complete(prompts: Any, params: Any) -> Any:
        if len(dying.batches) == 2:
            raise KeyboardInterrupt
        return ScriptedLLM.complete(dying, prompts, params)

    monkeypatch.setattr(dying, "complete", complete)
    with pytest.raises(KeyboardInterrupt):
        transform(dying, tmp_path).transform(units)
    llm = Served(replies=("x y",))
    transform(llm, tmp_path).transform(units)
    assert llm.batches == [8]


@pytest.mark.parametrize("arguments", [{"max_characters": 0}, {"max_tokens": 0}, {"prompt": "hyde"}])
def test_senseless_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, SpecError), match=r"max_|title"):
        WrittenContextTransform(llm=ScriptedLLM(), **arguments)


GRAPH = """\
version: 1
models:
  writer: {use: llm.scripted, with: {replies: [About velocipedes.]}}
index:
  chunking: {tokens: 40}
  transforms: [{use: written_context, with: {llm: WRITER}}]
nodes:
  hits: {use: retrieve.bm25, in: [query]}
output: hits
"""


def test_in_a_graph_the_model_is_a_name_and_the_manifest_says_which(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# Page\n\n" + " ".join(f"Line {i} of this page follows." for i in range(60)))
    (tmp_path / "g.yaml").write_text(GRAPH.replace("WRITER", "writer"))
    settings = load_spec(tmp_path / "g.yaml").graph.index
    build_index(tmp_path / "page.md", tmp_path / "idx", settings=settings, legs=["lexical"])
    with LocalIndex.open(tmp_path / "idx") as index:
        assert ["velocipedes" in document.index_text for document in index.documents][:3] == [False, True, True]
        assert not any("velocipedes" in document.text for document in index.documents)
        assert index.manifest.settings.transforms[0].params["llm"]["use"] == "llm.scripted"
    (tmp_path / "g.yaml").write_text(GRAPH.replace("WRITER", "writr"))
    with pytest.raises(SpecError, match="no model 'writr' for 'llm'"):
        load_spec(tmp_path / "g.yaml")
