"""A data set of made-up words: sixty documents and forty-eight questions, judged in one split or in two."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

WORDS = [f"{a}{b}" for a in ("ba", "co", "di", "fu", "ge") for b in ("lam", "ner", "pod", "rik", "tuv", "wex")]
LETTERS = ["c", "d", "f", "g", "h", "j", "k", "m", "n", "p", "q", "r", "v", "w", "x", "z"]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_judgements(folder: Path, split: str, qrels: dict[str, str]) -> None:
    lines = "".join(f"{qid}\t{doc_id}\t1\n" for qid, doc_id in qrels.items())
    (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}", encoding="utf-8")


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of a document and some of others ask for it. Odd questions are in dev, all in test and all."""
    folder = tmp_path_factory.mktemp("data") / "made-up"
    (folder / "qrels").mkdir(parents=True)
    random = Random(7)
    texts = [[*random.choices(WORDS, k=9), *random.choices(LETTERS, k=5)] for _ in range(60)]
    right = {f"q{number:02d}": random.randrange(60) for number in range(48)}
    asked = {
        qid: [*random.sample(texts[doc], 3), random.choice(WORDS), random.choice(LETTERS)] for qid, doc in right.items()
    }
    corpus = [{"_id": f"d{number:02d}", "title": "", "text": " ".join(text)} for number, text in enumerate(texts)]
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "queries.jsonl", [{"_id": qid, "text": " ".join(words)} for qid, words in asked.items()])
    judged = {qid: f"d{doc:02d}" for qid, doc in right.items()}
    write_judgements(folder, "test", judged)
    write_judgements(folder, "odd", {qid: doc for qid, doc in judged.items() if int(qid[1:]) % 2})
    write_judgements(folder, "even", {qid: doc for qid, doc in judged.items() if not int(qid[1:]) % 2})
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path_factory.getbasetemp() / "home-of-the-lab"))


@pytest.fixture
def lexical_graph() -> dict[str, Any]:
    """Words, and words after feedback, as a weighted sum."""
    return {
        "version": 1,
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "in": "query", "k": 20},
            "wider": {
                "use": "reformulate.rm3",
                "in": ["query", "bm25"],
                "with": {"documents": 3, "max_df": 1.0},
            },
            "again": {"use": "retrieve.bm25", "in": "wider", "k": 20},
            "fused": {
                "use": "fuse.weighted",
                "in": ["bm25", "again"],
                "k": 20,
                "with": {"norm": "max", "weights": {"bm25": 0.5, "again": 0.5}},
            },
        },
        "output": "fused",
    }


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rag(capsys: pytest.CaptureFixture[str]) -> Command:
    """The command: its exit code, and what it said on stdout and stderr."""
    from rag.cli import main

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
