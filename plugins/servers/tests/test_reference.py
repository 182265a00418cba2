"""On a real collection a server gives the rankings of a directory, up to ties."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from plugins.servers.benchmarks.index_servers import agree, asked
from rag import build_index
from rag.evaluate import load_beir
from rag.indexes import IndexSettings, open_index
from rag.types import Query, Ranking

N_DOCUMENTS, N_QUERIES = 400, 60


@dataclass(frozen=True, kw_only=True)
class Local:
    """A corpus, questions, and what a directory finds by each way."""

    corpus: Path
    queries: Sequence[Query]
    rankings: Mapping[str, Sequence[Ranking]]


@pytest.fixture(scope="module")
def local(eval_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Local:
    folder, queries = tmp_path_factory.mktemp("local"), load_beir(eval_data / "cranfield").queries[:N_QUERIES]
    with gzip.open(eval_data / "cranfield" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        (folder / "corpus.jsonl").write_text("".join(islice(lines, N_DOCUMENTS)))
    rankings = found(folder / "corpus.jsonl", queries, str(folder / "index"))
    return Local(corpus=folder / "corpus.jsonl", queries=queries, rankings=rankings)


def found(corpus: Path, queries: Sequence[Query], place: str) -> Mapping[str, Sequence[Ranking]]:
    build_index(corpus, place, settings=IndexSettings().judging_documents())
    with open_index(place) as index:
        return asked(index, queries)[0]


@pytest.mark.data
@pytest.mark.models
@pytest.mark.parametrize("scheme", ["milvus+lite", "qdrant+local"])
def test_cranfield_is_ranked_alike_by_words_vectors_and_both(scheme: str, local: Local, tmp_path: Path) -> None:
    there = found(local.corpus, local.queries, f"{scheme}://{tmp_path}/server.db/cranfield")
    for way, here in local.rankings.items():
        assert any(ranking.hits for ranking in here)
        wrong = [one.query.qid for one, other in zip(here, there[way], strict=True) if not agree(one, other)]
        assert not wrong, way
