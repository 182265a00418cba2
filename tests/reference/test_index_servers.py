"""On a real collection a server gives the rankings of a directory, up to ties."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.index_servers import agree, asked
from rag.evaluate.beir import load_beir
from rag.indexing import build_index
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings


@pytest.mark.data
@pytest.mark.models
@pytest.mark.parametrize("scheme", ["milvus+lite", "qdrant+local"])
def test_cranfield_is_ranked_alike_by_words_vectors_and_both(scheme: str, eval_data: Path, tmp_path: Path) -> None:
    dataset = load_beir(eval_data / "cranfield")
    queries = dataset.queries_of(dataset.qrels())[:60]
    found = []
    for place in (str(tmp_path / "index"), f"{scheme}://{tmp_path}/server.db/cranfield"):
        build_index(dataset.corpus, place, settings=IndexSettings().judging_documents())
        with open_index(place) as index:
            found.append(asked(index, queries)[0])
    for way, here in found[0].items():
        assert any(ranking.hits for ranking in here)
        wrong = [one.query.qid for one, other in zip(here, found[1][way], strict=True) if not agree(one, other)]
        assert not wrong, way
