"""What one passage alone has is found first by the default search: serial numbers, names, dates. From the outside."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag.cli import main
from tests.retrievers.tiny_encoders import WORDS, tiny_static

EXACT = {"serial": "ZX-4471/9", "person": "Marguerite Holloway", "date": "2031-02-17", "part": "AB/77-20"}
N_OTHERS = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index by the built-in hybrid with an encoder that knows nothing of such words, and its graph file beside it."""
    folder = tmp_path_factory.mktemp("exact")
    source = random.Random(4)
    texts = {f"d{n:03d}": " ".join(source.choices(WORDS, k=12)) for n in range(N_OTHERS)}
    texts |= {
        name: f"{' '.join(source.choices(WORDS, k=6))} {what} {source.choice(WORDS)}" for name, what in EXACT.items()
    }
    lines = "".join(json.dumps({"_id": doc_id, "text": text}) + "\n" for doc_id, text in texts.items())
    (folder / "corpus.jsonl").write_text(lines)
    graph = yaml.safe_load((Path(__file__).parents[2] / "rag/graphs/hybrid.yaml").read_text())
    graph["index"] = {"dense": {"encoder": str(tiny_static(folder / "static"))}}
    (folder / "hybrid.yaml").write_text(yaml.safe_dump(graph))
    assert main(["index", str(folder / "corpus.jsonl"), *at(folder)]) == 0
    return folder


def at(folder: Path) -> list[str]:
    return ["--index", str(folder / "index"), "--graph", str(folder / "hybrid.yaml")]


def searched(folder: Path, text: str, capsys: Any, *more: str) -> Any:
    capsys.readouterr()
    assert main(["search", text, *at(folder), "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", EXACT)
def test_what_one_passage_has_comes_first(name: str, place: Path, capsys: Any) -> None:
    hits = searched(place, EXACT[name], capsys)["hits"]
    assert hits[0]["doc_id"] == name
    assert hits[0]["score"] > 2 * hits[1]["score"]


def test_a_rare_word_among_common_ones_still_counts_most(place: Path, capsys: Any) -> None:
    hits = searched(place, f"{WORDS[0]} {WORDS[1]} {EXACT['serial']}", capsys)["hits"]
    assert hits[0]["doc_id"] == "serial"


def test_what_is_explained_sums_to_the_score(place: Path, capsys: Any) -> None:
    for hit in searched(place, EXACT["person"], capsys, "--explain")["hits"]:
        for stage in hit["explained"]:
            assert sum(part["score"] for part in stage["parts"]) == pytest.approx(stage["score"], rel=1e-4, abs=1e-5)


def test_a_list_that_no_retriever_gives_is_refused_before_anything_loads(place: Path, capsys: Any) -> None:
    graph = yaml.safe_load((place / "hybrid.yaml").read_text())
    graph["nodes"]["dense"] = {"use": "rerank.identity", "in": "bm25", "k": 9}
    (place / "wrong.yaml").write_text(yaml.safe_dump(graph))
    assert main(["check", str(place / "wrong.yaml")]) != 0
    said = " ".join(capsys.readouterr().err.split())
    assert "its input 'dense' (rerank.identity) cannot score documents that it did not give" in said
    assert "norm: z_score" in said


@pytest.mark.models
def test_the_default_search_finds_them_with_the_default_encoder(place: Path, capsys: Any) -> None:
    index = ["--index", str(place / "default")]
    assert main(["index", str(place / "corpus.jsonl"), *index]) == 0
    for name, text in EXACT.items():
        capsys.readouterr()
        assert main(["search", text, *index, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["hits"][0]["doc_id"] == name
