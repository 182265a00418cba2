"""ReCo's dense form beside its formula, worked with the other encoder's vectors by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from rag import build_index
from rag.errors import IndexMismatch, SpecError
from rag.indexes import IndexSettings, LocalIndex, SentenceEncoder
from rag.types import Query
from ragline_recipes.mean_of_parts import PART, SETTINGS, MeanOfPartsEncoder, write_folder
from retrievers import RETRIEVERS
from tests.retrievers.tiny_encoders import tiny_bert


@pytest.fixture
def bert(tmp_path: Path) -> str:
    return str(tiny_bert(tmp_path / "bert"))


@pytest.fixture
def folder(tmp_path: Path, bert: str) -> Path:
    write_folder(bert, tmp_path / "parts")
    return tmp_path / "parts"


def test_a_vector_is_the_mean_of_those_of_the_parts(folder: Path, bert: str) -> None:
    whole, other = SentenceEncoder(model=str(folder)), SentenceEncoder(model=bert)
    a, b, c = other.encode(["the frame", "days of leave", "z"], role="document")
    texts = [f"the frame\n{PART}the frame\n{PART}days of leave\n{PART}z", "z", f"{PART} {PART}days of leave", "", PART]
    found = whole.encode(texts, role="document")
    np.testing.assert_allclose(found[0], (2 * a + b + c) / 4, atol=1e-6)
    np.testing.assert_allclose(found[1:3], [c, b], atol=1e-6)
    np.testing.assert_allclose(found[3:], other.encode(["", PART], role="document"), atol=1e-6)
    assert whole.encode([], role="document").shape == (0, whole.dim)
    assert whole.dim == other.dim


def test_half_of_a_rewritten_function_is_the_function_itself(folder: Path, bert: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        json.dumps({"_id": "1", "text": f"z{PART}"}) + "\n"
    )  # a mark that a corpus brings along is no mark
    writer = {"use": "llm.scripted", "with": {"replies": ["It gives x.", "days of leave", "the frame"]}}
    rewriting = {"use": "rewrite_code", "with": {"llm": writer, "n": 2, "cache": str(tmp_path / "kept")}}
    said = {"dense": {"encoder": str(folder), "storage": "float32"}, "transforms": [rewriting]}
    build_index([corpus], tmp_path / "index", settings=IndexSettings.model_validate(said), legs=("lexical", "dense"))
    a, b, c = SentenceEncoder(model=bert).encode(["z", "days of leave", "the frame"], role="document")
    with LocalIndex.open(tmp_path / "index") as index:
        [kept] = cast(Any, index.leg("dense")).vectors(np.array([0]))
        [words] = RETRIEVERS.get("bm25")(index=index).retrieve([Query(qid="q", text="days of the frame")], k=1)
    np.testing.assert_allclose(kept, a / 2 + b / 4 + c / 4, atol=1e-6)
    assert words.doc_ids == ("1",)


def test_it_describes_the_other_encoder(folder: Path, tmp_path: Path) -> None:
    described = json.loads(json.dumps(SentenceEncoder(model=str(folder)).describe()))
    assert described["kind"] == "mean_of_parts"
    np.testing.assert_array_equal(
        SentenceEncoder.from_description(described).encode(["z"], role="query"),
        SentenceEncoder(model=str(folder)).encode(["z"], role="query"),
    )
    for file in tiny_bert(tmp_path / "other", seed=7).iterdir():
        shutil.copy(file, folder)
    with pytest.raises(IndexMismatch, match="of_each_part"):
        SentenceEncoder.from_description(described)


@pytest.mark.parametrize(
    "said", [[], {}, {"kind": ""}, {"kind": "plain", "pooling": "mean"}, {"kind": "mean_of_parts"}]
)
def test_what_names_no_other_kind_is_refused(folder: Path, said: object) -> None:
    (folder / SETTINGS).write_text(json.dumps(said))
    with pytest.raises(SpecError, match=r"mean_of_parts\.json.*and not"):
        MeanOfPartsEncoder.refuses(folder)


def test_a_folder_that_is_there_is_not_written_over(folder: Path, bert: str) -> None:
    with pytest.raises(SpecError, match="is there already"):
        write_folder(bert, folder)


def test_other_folders_are_left_to_others(bert: str) -> None:
    assert MeanOfPartsEncoder.refuses(Path(bert)) == f"it has no {SETTINGS}."
