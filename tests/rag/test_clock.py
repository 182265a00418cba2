"""A clock that was ahead and is set right again: what was written then lies in the future, and nothing goes by that."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from rag.indexing import add_documents, build_index, index_sources, merge_index, remove_documents
from rag.indexing import legs as written
from rag.indexing.shadow import build_shadow, promote_shadow
from rag.pipeline.commit_log import CommitLog
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from tests.rag.static_encoders import WORDS, static_encoder

TEN_YEARS_S = 10 * 365 * 86_400


def set_ahead(folder: Path) -> None:
    """All that lies there was written ten years from now."""
    then = time.time() + TEN_YEARS_S
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (then, then))


def held(index: Path) -> list[str]:
    with LocalIndex.open(index) as opened:
        opened.verify()
        return [document.parent for document in opened.documents]


def test_an_index_of_the_future_is_changed_merged_and_swapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, index = tmp_path / "notes", tmp_path / "index"
    source.mkdir()
    (source / "a.txt").write_text("worda wordb")
    (source / "b.txt").write_text("wordc wordd")
    encoders = [
        str(static_encoder(tmp_path / name, np.eye(len(WORDS), dtype=np.float32)[:, :n]))
        for name, n in (("one", 26), ("other", 25))
    ]
    settings = IndexSettings.model_validate({"dense": {"encoder": encoders[0]}})
    with monkeypatch.context() as ahead:
        ahead.setattr(written, "now", lambda: "2099-01-01T00:00:00+00:00")
        build_index(source, index, legs=["lexical", "dense"], settings=settings)
        build_shadow(index, encoder=encoders[1])
    (index / "building-000009").mkdir()  # what a kill left then
    with LocalIndex.open(index) as reader:
        set_ahead(tmp_path)
        (source / "a.txt").write_text("worde wordf")
        assert build_index(source, index).n_reused_files == 1
        assert add_documents({"id": "more", "text": "wordz"}, index).n_parts == 2
        assert reader.newest() != reader.generation
    assert held(index) == ["notes/a.txt", "notes/b.txt", "more"]
    build_shadow(index, encoder=encoders[1])
    set_ahead(index)
    promote_shadow(index)
    remove_documents(index, ids="notes/b.txt")
    merge_index(index)
    assert held(index) == ["notes/a.txt", "more"]
    assert [each.source.name for each in index_sources(index)] == ["notes", "given"]
    assert len(list(index.glob("generation-*"))) == 1
    assert not list(index.glob("building-*"))


def test_answers_of_the_future_are_gone_on_with(tmp_path: Path) -> None:
    with CommitLog(tmp_path / "log.jsonl") as log:
        log.commit([{"key": "a"}])
    set_ahead(tmp_path)
    with CommitLog(tmp_path / "log.jsonl") as log:
        log.commit([{"key": "b"}])
        assert [record["key"] for record in log.records()] == ["a", "b"]
