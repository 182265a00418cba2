"""Documents that were erased are nowhere any more, by a search of all bytes that owes nothing to the one that is tested."""

from __future__ import annotations

import gzip
import json
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.batch.run import run_batch
from rag.cli import main
from rag.core.errors import IndexProblem, SpecError
from rag.erasure import erase_from_index
from rag.erasure.marks import WINDOW, vector_marks
from rag.indexing import TooMuchLost, add_documents, build_index, remove_documents
from rag.pipeline import load_pipeline
from ragline_serve.http.sessions import Sessions
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from tests.retrievers.tiny_encoders import tiny_static

GRAPH: dict[str, Any] = {
    "version": 1,
    "models": {"small": {"use": "llm.scripted", "with": {"replies": ["It is so [1]."]}}},
    "nodes": {
        "hits": {"use": "retrieve.bm25", "k": 3},
        "context": {"use": "assemble.token_budget", "in": "hits", "with": {"llm": "small", "max_tokens": 200}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small"}},
    },
    "output": "answer",
}


WORDS = ["river", "stone", "winter", "harbour", "ladder", "copper", "orchard", "signal"]


def planted(number: int) -> str:
    """A word that stands in one document alone."""
    return f"zq{random.Random(number).getrandbits(60):015x}"


def text_of(number: int) -> str:
    words = random.Random(-number - 1).choices(WORDS, k=30)
    return f"Note {number} on {planted(number)}: {' '.join(words)}. It ends with {planted(number)}."


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("RAGLINE_HOME", str(home))
    return home


def write_corpus(folder: Path, n: int) -> Path:
    corpus = folder / "corpus.jsonl"
    lines = [{"_id": f"person-{i}", "title": f"File of {planted(i)}", "text": text_of(i)} for i in range(n)]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return corpus


def made_index(folder: Path, n: int) -> Path:
    settings = IndexSettings.model_validate({"dense": {"encoder": str(tiny_static(folder / "static"))}})
    build_index(write_corpus(folder, n), folder / "idx", settings=settings, legs=("lexical", "dense"))
    return folder / "idx"


def made_of(index: Path, folder: Path, numbers: range) -> dict[str, Path]:
    """What people keep beside an index: a run, conversations and traces, about some of its documents."""
    questions = folder / "questions.jsonl"
    asked = [{"id": str(i), "question": f"what of {planted(i)}"} for i in numbers]
    questions.write_text("".join(json.dumps(line) + "\n" for line in asked))
    with LocalIndex.open(index) as opened, load_pipeline(GRAPH, index=opened) as pipeline:
        run_batch(questions, pipeline, out=folder / "run")
    sessions = Sessions(folder / "sessions.db")
    for number in numbers:
        sessions.add(sessions.start("a" * 64), "a" * 64, f"Who is number {number}?", text_of(number))
    sessions.close()
    traces = folder / "traces.jsonl"
    lines = [{"trace_id": str(i), "events": [{"text": text_of(i)}]} for i in numbers]
    traces.write_text("".join(json.dumps(line) + "\n" for line in lines))
    questions.unlink()
    return {"run": folder / "run", "sessions": folder / "sessions.db", "traces": traces}


def files_with(needle: bytes, folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()
    ]


def files(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_thousand_planted_documents_are_nowhere_any_more(tmp_path: Path, home: Path) -> None:
    index = made_index(tmp_path, 1_200)
    kept = made_of(index, tmp_path, range(995, 1_005))
    (home / "states" / ("0" * 64)).mkdir(parents=True)
    (home / "states" / ("0" * 64) / "kept.states").write_bytes(b"what a model made of them")
    build_index(tmp_path / "corpus.jsonl", home / "indexes" / "cached", legs=("lexical",))
    (tmp_path / "corpus.jsonl").unlink()
    targets = [f"person-{i}" for i in range(1_000)]
    receipt = erase_from_index(targets, index, also=[*kept.values()], most_lost=1.0)
    receipt.write(tmp_path / "receipt.json")

    assert receipt.clean
    assert len(receipt.documents) == 1_000
    everything = b"\n".join(files(tmp_path))
    words = set(re.findall(rb"zq[0-9a-f]{15}", everything))
    assert words == {planted(i).encode() for i in range(1_000, 1_200)}
    with LocalIndex.open(index) as opened:
        assert len(opened) == 200
    written = json.loads((tmp_path / "receipt.json").read_text())
    assert written["clean"] is True
    assert {place["kind"] for place in written["places"]} == {
        "index",
        "states",
        "cached indexes",
        "batch",
        "sessions",
        "traces",
    }
    sessions = Sessions(kept["sessions"])
    assert sessions.forget(lambda text, cited: True) == 5, "conversations about others stay"
    sessions.close()
    assert len((kept["run"] / "answers.jsonl").read_text().splitlines()) == 5
    assert len(kept["traces"].read_text().splitlines()) == 5
    with load_pipeline(GRAPH, index=index) as pipeline:
        hits = pipeline.run([f"what of {planted(3)}"]).answers[0].context.passages
    assert not [hit for hit in hits if hit.doc_id == "person-3"]


def test_vectors_of_what_went_are_gone(tmp_path: Path, home: Path) -> None:
    index = made_index(tmp_path, 20)
    with LocalIndex.open(index) as opened:
        vectors = opened.leg("dense").vectors(range(20))
        row = {opened.documents[i].doc_id: i for i in range(20)}
    needles = [vectors[row[f"person-{i}"]].tobytes() for i in (3, 4)]
    assert all(files_with(needle, index) for needle in needles)
    assert erase_from_index(["person-3", "person-4"], index).clean
    assert not any(files_with(needle, index) for needle in needles)


def test_vectors_of_each_leg_are_looked_for(tmp_path: Path, home: Path) -> None:
    corpus, folders = write_corpus(tmp_path, 20), [tiny_static(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    legs = {"other": {"kind": "dense", "encoder": str(folders[1])}}
    settings = IndexSettings.model_validate({"dense": {"encoder": str(folders[0])}, "legs": legs})
    build_index(corpus, tmp_path / "idx", settings=settings, legs=("dense", "other"))
    with LocalIndex.open(tmp_path / "idx") as opened:
        row = next(i for i in range(20) if opened.documents[i].doc_id == "person-3")
        others = np.setdiff1d(np.arange(20), [row])
        marks = vector_marks(opened, np.array([row]), others)
        needles = [opened.leg(leg).vectors(np.array([row]))[0].tobytes() for leg in ("dense", "other")]
    assert marks == {needle[:WINDOW] for needle in needles}
    assert len(marks) == 2
    assert erase_from_index(["person-3"], tmp_path / "idx").clean
    assert not any(files_with(needle, tmp_path / "idx") for needle in needles)


def test_an_index_in_parts(tmp_path: Path, home: Path) -> None:
    index = made_index(tmp_path, 20)
    more = [{"doc_id": f"more-{i}", "text": text_of(100 + i)} for i in range(5)]
    add_documents(more, index)
    remove_documents(index, ids=["person-4"])
    assert files_with(planted(4).encode(), index), "what was removed stays on the disk until its part is merged"
    assert erase_from_index(["person-3", "more-2"], index).clean
    for number in (3, 4, 102):
        assert not files_with(planted(number).encode(), index)
    with LocalIndex.open(index) as opened:
        assert len(opened) == 22


def test_what_still_holds_them_is_told(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = made_index(tmp_path, 20)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text(f"I copied this: {text_of(7)}")
    command = ["remove", "person-7", "--index", str(index), "--receipt", str(tmp_path / "r.json"), "--also", str(notes)]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "mine.txt" in said
    assert "NOT all of it is gone" in said
    assert text_of(7) in (notes / "mine.txt").read_text(), "a file of nobody's kind is left to its owner"
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["clean"] is False
    assert planted(7) not in (tmp_path / "r.json").read_text()


def test_what_lies_beside_a_place_belongs_to_it(tmp_path: Path, home: Path) -> None:
    index = made_index(tmp_path, 20)
    kept = made_of(index, tmp_path, range(6, 9))
    full = tmp_path / "traces.jsonl.1"
    full.write_text(kept["traces"].read_text())
    receipt = erase_from_index(["person-7"], index, also=[kept["traces"]])
    assert receipt.clean
    assert str(full) in {place.path for place in receipt.places}
    assert len(full.read_text().splitlines()) == 2


def test_what_is_of_another_kind_is_looked_through(tmp_path: Path, home: Path) -> None:
    index = made_index(tmp_path, 20)
    database = tmp_path / "other.db"
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("CREATE TABLE notes (text TEXT)")
        opened.execute("INSERT INTO notes VALUES (?)", (text_of(7),))
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(gzip.compress(random.Random(1).randbytes(5_000))[:3_000])
    before = database.read_bytes()
    receipt = erase_from_index(["person-7"], index, also=[database, damaged])
    assert {place.path: bool(place.left) for place in receipt.places if place.kind == "other"} == {
        str(database): True,
        str(damaged): False,
    }
    assert [place.path for place in receipt.places if place.unread] == [str(damaged)]
    assert database.read_bytes() == before


def test_a_generation_that_a_reader_holds_is_told(tmp_path: Path, home: Path) -> None:
    index = made_index(tmp_path, 20)
    with LocalIndex.open(index):
        receipt = erase_from_index(["person-7"], index, wait_s=0)
        assert receipt.held == ("generation-000001",)
        assert not receipt.clean
        assert files_with(planted(7).encode(), index)
    assert erase_from_index(["person-8"], index).clean
    assert not files_with(planted(7).encode(), index)


def test_what_stays_says_too_is_no_mark(tmp_path: Path, home: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    boilerplate = "This page was left blank on purpose by the authors."
    lines = [{"_id": str(i), "text": boilerplate} for i in range(4)]
    lines += [{"_id": "own", "text": f"{boilerplate} {text_of(1)}"}, {"_id": "short", "text": "Yes"}]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    build_index(corpus, tmp_path / "idx", legs=("lexical",))
    receipt = erase_from_index(["0", "own", "short"], tmp_path / "idx")
    assert receipt.clean
    assert {passage.split("#")[0] for passage in receipt.unmarked} == {"0", "short"}


def test_a_refusal_changes_nothing(tmp_path: Path, home: Path) -> None:
    index = made_index(tmp_path, 20)
    kept = made_of(index, tmp_path, range(3, 6))
    before = sorted(files(tmp_path))
    with pytest.raises(TooMuchLost, match="Nothing was changed"):
        erase_from_index([f"person-{i}" for i in range(15)], index, also=[*kept.values()])
    with pytest.raises(IndexProblem, match="no source, file or document 'nobody'"):
        erase_from_index(["person-3", "nobody"], index, also=[*kept.values()])
    with pytest.raises(SpecError, match="is not there"):
        erase_from_index(["person-3"], index, also=[tmp_path / "absent"])
    assert sorted(files(tmp_path)) == before


def test_also_without_a_receipt_is_refused(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = made_index(tmp_path, 5)
    assert main(["remove", "person-1", "--index", str(index), "--also", str(tmp_path)]) != 0
    assert "--also goes with --receipt" in capsys.readouterr().err
