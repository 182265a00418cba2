"""The same weights are in memory once, and gone when nobody needs them."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest

from generators.llm.transformers import TransformersLLM
from rag.core.types import Message, SamplingParams
from rag.pipeline import load_pipeline
from tests.generators.llm.conftest import save_random_model

PROMPT = [Message(role="user", content="Which city?")]
SHORT = SamplingParams(max_tokens=6)


def make(folder: Path, **arguments: Any) -> TransformersLLM:
    return TransformersLLM(model=str(folder), **({"device": "cpu", "dtype": "float32"} | arguments))


def model_of(llm: TransformersLLM) -> Any:
    with llm.weights() as lent:
        return lent.model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_random_model(tmp_path / "model")


def test_two_that_name_the_same_folder_have_one_copy_and_one_lock(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    one, other = make(folder), make(tmp_path / "link", share_prefixes=False)
    with one.weights() as lent, other.weights() as also:
        assert also is lent
    assert one.complete([PROMPT], SHORT) == other.complete([PROMPT], SHORT)


@pytest.mark.parametrize("difference", ["dtype", "folder", "files"])
def test_what_differs_is_a_copy_of_its_own(folder: Path, tmp_path: Path, difference: str) -> None:
    one = make(folder)
    first = model_of(one)
    if difference == "dtype":
        other = make(folder, dtype="bfloat16")
    elif difference == "folder":
        other = make(shutil.copytree(folder, tmp_path / "copy"))
    else:
        weights = folder / "model.safetensors"
        os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1_000_000))
        other = make(folder)
    assert model_of(other) is not first


GRAPH: dict[str, Any] = {
    "version": 1,
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "k": 4},
        "ranked": {"use": "rerank.attention", "in": "bm25", "k": 2, "with": {"llm": "reader", "max_tokens": 16}},
        "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "writer", "max_tokens": 60}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "writer", "max_tokens": 4}},
    },
    "output": "answer",
}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    from rag.indexing import build_index

    texts = tmp_path / "texts"
    texts.mkdir()
    for at, text in enumerate(("paid leave is thirty days", "a lost key is reported", "frames and leave", "a train")):
        (texts / f"{at}.md").write_text(text)
    build_index([texts], tmp_path / "idx", legs=("lexical",))
    return tmp_path / "idx"


def graph_of(folder: Path) -> dict[str, Any]:
    local = {"use": "llm.transformers", "with": {"model": str(folder), "device": "cpu", "dtype": "float32"}}
    return {**GRAPH, "models": {"reader": local, "writer": local}}


def test_the_attention_reranker_and_the_generator_read_one_model(folder: Path, index: Path) -> None:
    with load_pipeline(graph_of(folder), index=index) as pipeline:
        pipeline.ask("how much paid leave")
        reader, writer = pipeline.graph.models["reader"], pipeline.graph.models["writer"]
        assert model_of(reader) is model_of(writer)
        read_by_attention = pipeline.graph.parts["ranked"]._reading[0].decoder
        assert read_by_attention is model_of(writer).get_decoder()


def test_a_released_pipeline_holds_no_weights_and_answers_the_same_again(folder: Path, index: Path) -> None:
    with load_pipeline(graph_of(folder), index=index) as pipeline:
        before = pipeline.ask("how much paid leave")
        gone = weakref.ref(model_of(pipeline.graph.models["writer"]))
        pipeline.release()
        gc.collect()
        assert gone() is None
        after = pipeline.ask("how much paid leave")
    assert (after.text, after.context.passages) == (before.text, before.context.passages)


def test_a_copy_lives_as_long_as_anybody_holds_it(folder: Path) -> None:
    one, other = make(folder), make(folder)
    shared = model_of(one)
    assert model_of(other) is shared
    one.release()
    assert model_of(one) is shared
    whole = other.complete([PROMPT], SHORT)[0].text
    stream = other.stream(PROMPT, SHORT)
    first = next(stream)
    one.release()
    other.release()
    assert first + "".join(stream) == whole  # what runs keeps what it uses
    gone = weakref.ref(shared)
    del shared, stream
    gc.collect()
    assert gone() is None


def test_release_forgets_what_was_kept_of_prompts(folder: Path) -> None:
    llm = make(folder)
    long = [Message(role="user", content="the capital of France is it numbered or anything else " * 3)]
    llm.choose([long], ["0"])
    llm.release()
    llm.choose([long], ["0"])
    assert llm.last_cached == (0,)
    llm.choose([long], ["0"])
    assert llm.last_cached[0] > 0
