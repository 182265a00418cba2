"""Chunks that end where the subject changes: what stays exact, where they break, and what an index makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from rag.core.errors import IndexMismatch, SpecError
from rag.core.types import Document
from rag.indexing import build_index, index_key
from rag.ingest import chunk, word_spans
from rag.ingest.chunk import turns
from rag.ingest.layout import Layout
from rag.ingest.settings import ChunkSettings
from rag.pipeline import load_pipeline
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from tests.tiny_models import tiny_sentence_model

STEEL = "The frame of this bicycle is made of steel."
LEAVE = "Staff may carry over five days of leave."


def by_first_word(texts: Sequence[str]) -> NDArray[np.float32]:
    """Sentences about steel point one way, others another."""
    return np.array([[3.0, 0.0] if text.startswith("The") else [0.0, 0.5] for text in texts], dtype=np.float32)


def cut(*blocks: str, tokens: int = 200) -> list[Document]:
    layout = Layout()
    for block in blocks:
        layout.block(block)
    settings = ChunkSettings(tokens=tokens, cut="meaning")
    return chunk(layout.document("a.md"), settings=settings, spans=word_spans, encode=by_first_word)


def test_the_least_alike_neighbours_are_turns_whatever_the_length_of_vectors() -> None:
    assert turns([STEEL, STEEL, LEAVE, LEAVE, LEAVE, LEAVE], by_first_word) == [False, False, True, False, False, False]
    assert (turns([], by_first_word), turns([STEEL], by_first_word)) == ([], [False])
    zeros = np.zeros((2, 2), dtype=np.float32)
    assert turns(["a", "b"], lambda texts: zeros) == [False, False]


def test_a_chunk_ends_where_the_subject_changes() -> None:
    chunks = cut(" ".join([STEEL] * 8 + [LEAVE] * 9))
    assert [each.text for each in chunks] == [" ".join([STEEL] * 8), " ".join([LEAVE] * 9)]


def test_not_before_a_quarter_is_full_and_never_above_the_limit() -> None:
    assert len(cut(" ".join([STEEL, *[LEAVE] * 8]))) == 1, "one sentence is no chunk"
    assert [each.text for each in cut(" ".join([STEEL] * 8), tokens=40)] == [" ".join([STEEL] * 4)] * 2


def test_headings_and_stand_alone_documents_are_as_ever() -> None:
    assert [each.doc_id for each in cut("")] == ["a.md"]
    assert [each.text for each in cut(STEEL)] == [STEEL]
    layout = Layout()
    for heading, text in (("Frames", STEEL), ("Leave", LEAVE)):
        layout.heading(1, heading)
        layout.block(" ".join([text] * 3))
    settings = ChunkSettings(cut="meaning")
    chunks = chunk(layout.document("a.md"), settings=settings, spans=word_spans, encode=by_first_word)
    assert [each.metadata["headings"] for each in chunks] == [["Frames"], ["Leave"]]


@given(st.lists(st.sampled_from([STEEL, LEAVE, "Short.", "x" * 300]), max_size=40), st.integers(16, 80))
def test_nothing_is_lost_or_said_twice(sentences: list[str], tokens: int) -> None:
    chunks = cut(" ".join(sentences), tokens=tokens)
    assert "".join("".join(each.text.split()) for each in chunks) == "".join("".join(sentences).split())


def test_without_an_encoder_it_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(STEEL)
    settings = IndexSettings.model_validate({"chunking": {"cut": "meaning"}})
    with pytest.raises(SpecError, match="needs a dense leg whose encoder runs in this process"):
        build_index(tmp_path / "a.md", tmp_path / "index", settings=settings, legs=["lexical"])
    layout = Layout()
    layout.block(STEEL)
    with pytest.raises(ValueError, match="no encoder"):
        chunk(layout.document("a.md"), settings=ChunkSettings(cut="meaning"), spans=word_spans)


@pytest.mark.parametrize("said", [{"cut": "sense"}, {"cut": "meaning", "overlap": 10}])
def test_settings_that_make_no_sense_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChunkSettings.model_validate(said)


def test_what_an_index_without_it_says_is_what_it_always_said(tmp_path: Path) -> None:
    assert "cut" not in ChunkSettings().model_dump()
    assert ChunkSettings(cut="meaning").model_dump()["cut"] == "meaning"
    (tmp_path / "a.md").write_text(STEEL)
    keys = [
        index_key(tmp_path / "a.md", settings=IndexSettings.model_validate(said), legs=["lexical"])
        for said in ({}, {"chunking": {"cut": "size"}}, {"chunking": {"cut": "meaning"}})
    ]
    assert keys[0] == keys[1] != keys[2]


def test_an_index_is_cut_by_its_own_encoder_and_again_when_that_changes(tmp_path: Path) -> None:
    source, encoder = tmp_path / "docs", tiny_sentence_model(tmp_path / "tiny")
    source.mkdir()
    (source / "a.md").write_text(" ".join(f"Sentence number {i} is about wheels and frames." for i in range(60)))
    (source / "empty.md").write_text("")
    dense = {"encoder": str(encoder), "compute": "float32"}
    usual = IndexSettings.model_validate({"dense": dense, "chunking": {"tokens": 100, "overlap": 0}})
    meant = IndexSettings.model_validate({"dense": dense, "chunking": {"tokens": 100, "cut": "meaning"}})
    build_index(source, tmp_path / "index", settings=usual)
    by_size = index_texts(tmp_path / "index")
    report = build_index(source, tmp_path / "index", settings=meant)
    assert (report.n_reused_files, report.unread) == (0, ("docs/empty.md",))
    by_meaning = index_texts(tmp_path / "index")
    assert len(by_meaning) > len(by_size)
    assert " ".join(by_meaning) == " ".join(by_size)
    assert build_index(source, tmp_path / "index").unchanged
    graph = tmp_path / "g.yaml"
    graph.write_text(
        "version: 1\nindex: {chunking: {cut: size}}\nnodes: {found: {use: retrieve.bm25, k: 5}}\noutput: found\n"
    )
    with pytest.raises(IndexMismatch, match=r"built with chunking.cut 'meaning'; the graph asks for 'size'"):
        load_pipeline(graph, index=tmp_path / "index")


def index_texts(path: Path) -> list[str]:
    with LocalIndex.open(path) as index:
        return [document.text for document in index.documents]
