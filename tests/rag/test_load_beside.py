"""A model that can is loaded while passages are found; by stage it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.indexing import build_index
from rag.pipeline import load_pipeline
from tests.scripted_graph import graph


@pytest.mark.parametrize(("by_stage", "times"), [(False, 3), (True, 0)])
def test_asking_begins_to_load_and_searching_does_not(by_stage: bool, times: int, tmp_path: Path) -> None:
    begun: list[str] = []
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rules.txt").write_text("Paid leave is thirty days a year.\n")
    build_index(tmp_path / "folder", tmp_path / "idx", legs=("lexical",))
    with load_pipeline(graph(), index=tmp_path / "idx", by_stage=by_stage) as pipeline:
        # of this model alone: Python remembers what instances of a class can do
        vars(pipeline.graph.models["small"])["load_beside"] = lambda: begun.append("now")
        pipeline.search("How much paid leave?")
        assert begun == []
        pipeline.ask("How much paid leave?")
        list(pipeline.stream("How much paid leave?"))
        list(pipeline.follow("How much paid leave?"))
    assert len(begun) == times
