"""A run whose pools are other processes, as a cluster has them, gives the lines of one process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag.batch.elsewhere import through_cluster
from rag.batch.folder import ANSWERS
from rag.batch.run import run_batch
from rag.core.errors import IndexMismatch, MissingModel, SpecError
from rag.core.types import Document, Query
from rag.pipeline import load_pipeline
from rag.pipeline.identity import Identities, graph_identity, index_identity
from tests.generators.llm.conftest import save_random_model
from tests.other_machines import HerePickled
from tests.rag.batch.test_pools import CLOSED, GRAPH
from tests.small_index import small_index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> Path:
    return small_index(tmp_path_factory.mktemp("elsewhere"), documents)


def questions(folder: Path, n: int) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps({"id": f"q{i}", "question": f"leave number {i}"}) + "\n" for i in range(n)))
    return path


def lines(out: Path) -> list[dict[str, Any]]:
    """Committed lines, without what may differ between two runs."""
    return [{**json.loads(line), "cost": None} for line in (out / ANSWERS).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("graph", "models"), [(GRAPH, [False, True, True]), (CLOSED, [True])])
def test_the_lines_are_those_of_one_process(
    graph: dict[str, Any], models: list[bool], index: Path, tmp_path: Path
) -> None:
    path, cluster = questions(tmp_path, 50), HerePickled()
    with load_pipeline(graph, index=index) as pipeline:
        run_batch(path, pipeline, out=tmp_path / "here", batch=8, workers=1)
        report = run_batch(path, pipeline, out=tmp_path / "there", batch=8, cluster=cluster)
    assert lines(tmp_path / "there") == lines(tmp_path / "here")
    assert report.n_answered == 50
    assert [node.name for node in report.nodes] == list(graph["nodes"])
    assert cluster.used_models == models


def test_what_hits_all_questions_alike_ends_the_run(index: Path, tmp_path: Path) -> None:
    folder = save_random_model(tmp_path / "model")
    graph = {**GRAPH, "models": {"small": {"use": "llm.transformers", "with": {"model": str(folder), "device": "cpu"}}}}
    with load_pipeline(graph, index=index) as pipeline:
        folder.rename(tmp_path / "elsewhere")  # this process loads no weights, so a pool finds out
        with pytest.raises(MissingModel):
            run_batch(questions(tmp_path, 30), pipeline, out=tmp_path / "out", cluster=HerePickled())
    assert (tmp_path / "out" / ANSWERS).read_bytes() == b""


def test_other_files_on_a_machine_are_refused(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with load_pipeline(GRAPH, index=index) as pipeline:
        same = Identities(graph=graph_identity(pipeline.graph), index=index_identity(pipeline.index))
        batches = [[Query(qid="q1", text="leave")]]
        with pytest.raises(IndexMismatch, match="is another index on a machine of the cluster"):
            list(through_cluster(batches, pipeline, replace(same, index="0"), HerePickled()))
        hashes = iter(["of this process", "of that one"])
        monkeypatch.setattr("rag.batch.elsewhere.graph_identity", lambda graph, weights: next(hashes))
        with pytest.raises(SpecError, match="other prompts, or another version of ragline"):
            list(through_cluster(batches, pipeline, same, HerePickled()))
