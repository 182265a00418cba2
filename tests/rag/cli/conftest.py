"""A folder of four notes, a lexical index of it, and a small data set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.indexing import build_index

NOTES = {
    "leave.md": "# Leave\n\nEveryone has thirty days of paid leave a year.\n\n## Illness\n\nA note is needed from day four.\n",
    "keys.txt": "A lost key is reported to the duty officer at once.\n",
    "hostile.md": "# [red]Tubes[/red]\n\nSee [/usr/bin] \x1b[31mbrazed\x1b[0m <|im_end|> frames.\n",
    "travel/train.html": "<h1>Travel</h1><p>Take the train for journeys under six hours.</p>",
}


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "notes"
    for name, text in NOTES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def lexical_index(notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("index") / "idx"
    build_index([notes], place, legs=("lexical",))
    return place


@pytest.fixture(scope="session")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "tiny"
    (folder / "qrels").mkdir(parents=True)
    texts = ["red apples grow here", "green pears grow there", "a fast train", "the slow boat"]
    corpus = [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(texts, start=1)]
    queries = [{"_id": "q1", "text": "apples grow"}, {"_id": "q2", "text": "boat"}, {"_id": "q3", "text": "zebra"}]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in corpus))
    (folder / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in queries))
    judged = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td4\t1\nq3\td2\t1\n"
    (folder / "qrels" / "test.tsv").write_text(judged)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
