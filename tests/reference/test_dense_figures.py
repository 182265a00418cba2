"""The dense leg against the figure that is published for its encoder, through the same door as a user's evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.evaluate.beir import load_beir
from rag.evaluate.graph_evaluation import evaluate_graph
from rag.graph.load import load_spec


@pytest.mark.data
@pytest.mark.models
@pytest.mark.slow
def test_scifact_is_within_a_hair_of_the_published_figure(eval_data: Path, tmp_path: Path) -> None:
    """MTEB gives all-MiniLM-L6-v2 an nDCG@10 of 0.645 on SciFact. Encodes 5,183 abstracts."""
    report = evaluate_graph(load_beir(eval_data / "scifact"), load_spec("dense"), out=tmp_path / "run")
    assert report.evaluation.measures["nDCG@10"] == pytest.approx(0.645, abs=0.003)
    assert report.evaluation.n_queries == 300
