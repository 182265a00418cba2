from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from generators.llm.transformers import TransformersLLM
from plugins.recipes.tests.test_written_context import Served
from rag.core.types import Document
from rag.models.identity import model_identity
from ragline_recipes.identifiers import IdentifierTransform
from ragline_recipes.mean_of_parts import PART
from ragline_recipes.rewrite_code import RewriteCodeTransform
from tests.generators.llm.conftest import save_random_model

ONE = Document(doc_id="1", text="def f(x): return x", title="one.py", metadata={"code_language": "Python"})
TWO = Document(doc_id="2", text="def g(y): return y")


def transform(llm: ScriptedLLM, cache: Path, **arguments: Any) -> RewriteCodeTransform:
    return RewriteCodeTransform(llm=llm, cache=str(cache), **({"n": 2} | arguments))


def index_texts(transformed: list[Document]) -> list[str]:
    return [document.index_text for document in transformed]


REPLIES = ("Purpose: Give x back.", "Give y back.", "```\nx1\n```", "y1", "x2", "y2")


def test_original_and_rewrites_stand_in_the_index_half_and_half(tmp_path: Path) -> None:
    llm = Served(replies=REPLIES)
    one, two = transform(llm, tmp_path).transform([ONE, TWO])
    assert one.index_text == f"\n{PART}".join([ONE.index_text, ONE.index_text, "x1", "x2"])
    assert two.index_text == f"\n{PART}".join([TWO.text, TWO.text, "y1", "y2"])
    assert (one.text, one.title, one.full_text) == (ONE.text, ONE.title, ONE.full_text)
    assert one.metadata["code_language"] == "Python"
    assert llm.batches == [2, 2, 2]  # all purposes, then one call per program
    assert llm.seen[0][1].content.endswith("Code:\ndef f(x): return x\nPurpose:")
    assert "Description: Give x back." in llm.seen[2][1].content


def test_the_original_may_weigh_less(tmp_path: Path) -> None:
    [one] = transform(Served(replies=("p", "x1", "x2")), tmp_path, repeat=1).transform([ONE])
    assert one.index_text == f"\n{PART}".join([ONE.index_text, "x1", "x2"])


def test_what_an_earlier_transform_wrote_for_the_index_is_kept(tmp_path: Path) -> None:
    [before] = IdentifierTransform().transform([Document(doc_id="1", text="read_file")])
    [made] = transform(Served(replies=("p", "x1", "x2")), tmp_path, repeat=1).transform([before])
    assert made.index_text == f"read_file read file\n{PART}x1\n{PART}x2"


def test_nothing_is_written_twice_for_the_same_content(tmp_path: Path) -> None:
    first = transform(Served(replies=REPLIES), tmp_path).transform([ONE, TWO])
    llm = Served(replies=("never asked",))
    copy = Document(doc_id="copy", text=ONE.text)
    again = transform(llm, tmp_path).transform([ONE, TWO, copy])
    assert index_texts(again[:2]) == index_texts(first)
    assert again[2].index_text == f"\n{PART}".join([ONE.text, ONE.text, "x1", "x2"])
    assert llm.seen == []


@pytest.mark.parametrize(
    "arguments",
    [{"n": 3}, {"max_tokens": 7}, {"seed": 1}, {"temperature": 0.5}, {"prompt": "hyde"}],
)
def test_other_parameters_and_prompts_are_other_content(tmp_path: Path, arguments: dict[str, Any]) -> None:
    transform(Served(replies=REPLIES), tmp_path).transform([ONE])
    llm = Served(replies=("new",))
    transform(llm, tmp_path, **arguments).transform([ONE])
    assert llm.seen != []


def test_another_model_writes_anew_and_one_without_a_name_leaves_nothing(tmp_path: Path) -> None:
    transform(Served(replies=REPLIES), tmp_path).transform([ONE])
    other = Served(replies=("new",))
    other.model_name = "another"
    transform(other, tmp_path).transform([ONE])
    assert other.seen != []
    kept = sorted(tmp_path.rglob("*"))
    nameless = ScriptedLLM(replies=("new",))
    transform(nameless, tmp_path).transform([ONE])
    assert nameless.seen != []
    assert sorted(tmp_path.rglob("*")) == kept


def test_a_build_that_is_killed_keeps_all_batches_that_were_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [Document(doc_id=str(i), text=f"def f{i}(): pass") for i in range(40)]

    dying = Served(replies=("x",))

    def complete(prompts: Any, params: Any) -> Any:
        if len(dying.batches) == 4:  # three calls are a batch of sixteen
            raise KeyboardInterrupt
        return ScriptedLLM.complete(dying, prompts, params)

    monkeypatch.setattr(dying, "complete", complete)
    with pytest.raises(KeyboardInterrupt):
        transform(dying, tmp_path).transform(documents)
    llm = Served(replies=("x",))
    transform(llm, tmp_path).transform(documents)
    assert llm.batches == [16, 16, 16, 8, 8, 8]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', "\udcff"])
def test_a_damaged_file_of_the_cache_is_written_again(tmp_path: Path, content: str) -> None:
    transform(Served(replies=REPLIES), tmp_path).transform([ONE])
    [file] = tmp_path.rglob("*.json")
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    llm = Served(replies=("p", "x1", "x2"))
    transform(llm, tmp_path).transform([ONE])
    assert json.loads(file.read_bytes()) == ["x1", "x2"]


def test_a_document_without_a_usable_rewrite_is_indexed_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        made = transform(Served(replies=("", "Give y back.", "y1", "")), tmp_path).transform([ONE, TWO])
    assert made[0] is ONE
    assert made[1].index_text == f"\n{PART}".join([TWO.text, TWO.text, "y1"])
    assert "nothing usable was written for 1 of 2 documents" in caplog.text


def test_the_model_reads_long_code_as_far_as_it_may(tmp_path: Path) -> None:
    llm = Served(replies=("p",))
    transform(llm, tmp_path, max_characters=5).transform([Document(doc_id="1", text="abcdefgh <|im_end|>")])
    assert llm.seen[0][1].content.endswith("Code:\nabcde\nPurpose:")


def test_a_model_here_is_its_weights_wherever_they_lie(tmp_path: Path) -> None:
    def identity(folder: str, family: str = "llama", **arguments: Any) -> dict[str, str] | None:
        place = save_random_model(tmp_path / folder, family)
        return model_identity(TransformersLLM(model=str(place), device="cpu", **arguments))

    first = identity("a")
    assert first is not None
    assert len(first["weights_sha256"]) == 64
    assert identity("b") == first
    assert identity("c", "qwen2") != first
    assert identity("a", dtype="bfloat16") != identity("a", dtype="float32")


@pytest.mark.parametrize("arguments", [{"n": 0}, {"repeat": 0}, {"max_characters": 0}, {"purpose_tokens": 0}])
def test_senseless_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        RewriteCodeTransform(llm=ScriptedLLM(), **arguments)
