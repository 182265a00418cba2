from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import record, scale
from retrievers import RETRIEVERS
from retrievers.index.settings import IndexSettings
from retrievers.legs import LEGS


def test_every_way_is_of_a_leg_and_settings_that_there_are() -> None:
    every = scale.ways("build/static")
    assert len({(way.name, way.kept) for way in every}) == len(every)
    for way in every:
        IndexSettings.model_validate(dict(way.settings))
        assert way.leg in LEGS
        assert way.retriever in RETRIEVERS


def test_a_busy_line_does_for_a_busy_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    assert scale.measured_before(busy=False) == set()
    lines = [{"name": "bm25", "kept": "postings", "asked": n, **busy} for n, busy in ((10, {}), (20, {"busy": True}))]
    (tmp_path / "scale.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert scale.measured_before(busy=False) == {("bm25", "postings", 10)}
    assert scale.measured_before(busy=True) == {("bm25", "postings", 10), ("bm25", "postings", 20)}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_bytes_of_a_leg_and_of_documents_are_those_of_the_index(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    lines = ({"_id": str(n), "text": f"wheel {n} is trued"} for n in range(50))
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    way = scale.ways("")[0]
    line = scale.build(way, corpus, tmp_path / "index")
    answered = scale.answer(way, tmp_path / "index", ["wheel 7", "trued"])
    [generation] = (tmp_path / "index").glob("generation-*")
    sizes = {str(file.relative_to(generation)): file.stat().st_size for file in generation.rglob("*") if file.is_file()}
    del sizes["manifest.json"]
    assert line["passages"] == 50
    assert line["files"] == {name: size for name, size in sizes.items() if name.startswith("lexical/")}
    assert line["hot_bytes"] == sum(line["files"].values())
    assert line["documents_bytes"] == sum(sizes.values()) - line["hot_bytes"]
    assert line["encode_s"] == 0
    assert answered["p50_s"] > 0
    assert answered["answer"]["anonymous"] > 0
