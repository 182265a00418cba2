"""Another encoder is built beside the one that serves, and takes its place in one step or not at all."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.cli import main
from rag.core.access import Asker
from rag.core.errors import IndexProblem
from rag.core.filters import asked_by
from rag.evaluate.shadow import judge_shadow
from rag.indexing import add_documents, build_index, remove_from_index
from rag.indexing.shadow import build_shadow, drop_shadow, promote_shadow, shadow_of
from rag.pipeline.questions import read_questions
from retrievers.index.directory import LocalIndex
from retrievers.legs.dense.retriever import DenseRetriever
from tests.rag.shadows import encoder_of, make, some_texts, two_encoders
from tests.rag.static_encoders import WORDS, static_encoder

GRAPH: dict[str, Any] = {"version": 1, "nodes": {"hits": {"use": "retrieve.dense", "k": 10}}, "output": "hits"}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return two_encoders(tmp_path_factory.mktemp("encoders"))


@pytest.fixture
def texts() -> list[str]:
    return some_texts()


@pytest.fixture
def questions(tmp_path: Path, texts: list[str]) -> Path:
    """The words of a text in another order; that text is judged right."""
    file = tmp_path / "questions.jsonl"
    asked = [{"id": f"q{i}", "question": " ".join(reversed(text.split()))} for i, text in enumerate(texts)]
    file.write_text("".join(json.dumps(line) + "\n" for line in asked))
    (tmp_path / "qrels.tsv").write_text("".join(f"q{i} 0 d{i} 1\n" for i in range(len(texts))))
    (tmp_path / "graph.yaml").write_text(json.dumps(GRAPH))
    return file


def judge(index: Path, questions: Path, *options: str) -> int:
    command = ["index", "--index", str(index), "--shadow", "--questions", str(questions), *options]
    folder = questions.parent
    return main([*command, "--graph", str(folder / "graph.yaml"), "--qrels", str(folder / "qrels.tsv")])


def test_who_may_read_what_stays_as_it_was(tmp_path: Path, texts: list[str], encoders: dict[str, str]) -> None:
    index = make(tmp_path, texts, encoders["poor"])
    (tmp_path / "labels.jsonl").write_text(
        '{"_id": "d1", "public": true}\n{"_id": "d2", "tenant": "n", "owner": "ann"}\n'
    )
    build_index([], index, labels=tmp_path / "labels.jsonl")
    build_shadow(index, encoder=encoders["good"])
    promote_shadow(index)
    with LocalIndex.open(index) as opened:
        assert encoder_of(opened) == encoders["good"]
        assert opened.rows(None).tolist() == [opened.documents.row("d1")]
        assert len(opened.rows(asked_by(Asker(user="ann", tenant="n")))) == 2


def test_a_better_encoder_takes_the_place(
    tmp_path: Path, texts: list[str], encoders: dict[str, str], questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = make(tmp_path, texts, encoders["poor"])
    with LocalIndex.open(index) as before:
        assert judge(index, questions, "--encoder", encoders["good"], "--promote-if-better") == 0
        assert encoder_of(before) == encoders["poor"], "whoever has it open keeps what it opened"
        assert len(DenseRetriever(index=before).retrieve(list(read_questions(questions)), k=3)) == len(texts)
    assert "the shadow is the index now" in capsys.readouterr().out
    with LocalIndex.open(index) as after:
        assert encoder_of(after) == encoders["good"]
        after.verify()
        assert [after.documents[row].text for row in range(len(after))] == texts
        found = DenseRetriever(index=after).retrieve(list(read_questions(questions)), k=1)
    assert [ranking.hits[0].doc_id for ranking in found] == [f"d{i}" for i in range(len(texts))]
    assert not shadow_of(index).exists()


def test_a_worse_encoder_is_never_promoted(
    tmp_path: Path, texts: list[str], encoders: dict[str, str], questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = make(tmp_path, texts, encoders["good"])
    assert judge(index, questions, "--encoder", encoders["poor"], "--promote-if-better", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["promoted"] is False
    assert said["judged"]["difference"] < -0.3
    with LocalIndex.open(index) as after:
        assert encoder_of(after) == encoders["good"]


def test_an_equal_encoder_is_not_shown_to_be_better(
    tmp_path: Path, texts: list[str], encoders: dict[str, str], questions: Path
) -> None:
    index = make(tmp_path, texts, encoders["good"])
    assert judge(index, questions, "--encoder", encoders["good"], "--promote-if-better") == 0
    assert shadow_of(index).exists()


def test_a_shadow_of_an_older_state_is_brought_up_to_date(
    tmp_path: Path, texts: list[str], encoders: dict[str, str]
) -> None:
    index = make(tmp_path, texts, encoders["poor"])
    assert build_shadow(index, encoder=encoders["good"]).n_encoded == len(texts)
    remove_from_index(["d7"], index)
    with pytest.raises(IndexProblem, match="of an older state"):
        promote_shadow(index)
    report = build_shadow(index, encoder=encoders["good"])
    assert (report.n_encoded, report.n_reused_vectors) == (0, len(texts) - 1)
    promote_shadow(index)
    with LocalIndex.open(index) as after:
        assert len(after) == len(texts) - 1
        assert encoder_of(after) == encoders["good"]


def test_who_may_read_what_goes_with_it(tmp_path: Path, texts: list[str], encoders: dict[str, str]) -> None:
    index = make(tmp_path, texts, encoders["poor"])
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(json.dumps({"_id": f"d{i}", "public": i < 7}) + "\n" for i in range(len(texts))))
    build_index([], index, labels=labels)
    build_shadow(index, encoder=encoders["good"])
    with LocalIndex.open(shadow_of(index)) as opened:
        assert len(opened.rows(None)) == 7
    promote_shadow(index)
    with LocalIndex.open(index) as opened:
        assert len(opened.rows(None)) == 7


def test_an_index_in_parts_has_a_shadow_too(tmp_path: Path, texts: list[str], encoders: dict[str, str]) -> None:
    index = make(tmp_path, texts, encoders["poor"])
    add_documents([{"doc_id": "more", "text": "wordz wordy wordx"}], index)
    build_shadow(index, encoder=encoders["good"])
    promote_shadow(index)
    with LocalIndex.open(index) as after:
        after.verify()
        assert encoder_of(after) == encoders["good"]
        assert after.documents.row("more") == len(texts)
    add_documents([{"doc_id": "last", "text": "worda wordb wordc"}], index)
    with LocalIndex.open(index) as after:
        assert encoder_of(after) == encoders["good"]
        assert len(after) == len(texts) + 2


def test_a_teacher_judges_where_nobody_did(
    tmp_path: Path, texts: list[str], encoders: dict[str, str], questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_shared_words(query: str, listed: list[str], **model: Any) -> list[tuple[int, float]]:
        scores = [(place, float(len({*query.split()} & {*text.split()}))) for place, text in enumerate(listed)]
        return sorted(scores, key=lambda each: -each[1])

    monkeypatch.setattr("rag.evaluate.shadow.rerank_texts", by_shared_words)
    index = make(tmp_path, texts, encoders["poor"])
    build_shadow(index, encoder=encoders["good"])
    judged = judge_shadow(index, list(read_questions(questions)), graph=tmp_path / "graph.yaml", teacher="words")
    assert judged.is_better
    assert judged.by == "teacher words"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--encoder", "x"], "--encoder goes with --shadow"),
        (["--promote-if-better"], "--promote-if-better goes with --shadow"),
        (["--shadow", "--promote-if-better"], "needs --questions"),
        (["--shadow"], "has no shadow"),
        (["--shadow", "--promote"], "has no shadow"),
        (["--shadow", "--encoder", "/no/such/encoder"], "/no/such/encoder"),
        (["--shadow", "--encoder", "x", "corpus.jsonl"], "passages that the index has"),
    ],
)
def test_what_cannot_be_is_said(
    tmp_path: Path,
    texts: list[str],
    encoders: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    says: str,
) -> None:
    index = make(tmp_path, texts, encoders["good"])
    assert main(["index", "--index", str(index), *options]) != 0
    assert says in capsys.readouterr().err
    with LocalIndex.open(index) as after:
        assert encoder_of(after) == encoders["good"]


def test_a_shadow_whose_encoder_vanished_is_not_judged_and_nothing_is_lost(
    tmp_path: Path, texts: list[str], questions: Path, encoders: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    index = make(tmp_path, texts, encoders["poor"])
    gone = static_encoder(tmp_path / "gone", np.eye(len(WORDS), dtype=np.float32))
    build_shadow(index, encoder=str(gone))
    (gone / "model.safetensors").unlink()
    assert judge(index, questions, "--promote-if-better") != 0
    assert "gone" in capsys.readouterr().err
    with LocalIndex.open(index) as after:
        assert encoder_of(after) == encoders["poor"]
    assert drop_shadow(index)


SWAP = """
import sys
from rag.indexing.shadow import build_shadow, promote_shadow
print("ready", flush=True)
sys.stdin.readline()
for encoder in sys.argv[2:] * 50:
    build_shadow(sys.argv[1], encoder=encoder)
    promote_shadow(sys.argv[1])
"""


def test_a_kill_leaves_the_index_of_one_encoder(tmp_path: Path, texts: list[str], encoders: dict[str, str]) -> None:
    """RAGLINE_KILLS asks for more of them."""
    index, chance = make(tmp_path, texts, encoders["poor"]), random.Random(5)
    for _ in range(int(os.environ.get("RAGLINE_KILLS", "5"))):
        command = [sys.executable, "-c", SWAP, str(index), encoders["good"], encoders["poor"]]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
        time.sleep(chance.uniform(0.02, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with LocalIndex.open(index) as opened:
            opened.verify()
            encoder = encoder_of(opened)
            assert len(opened) == len(texts)
    other = encoders["poor" if encoder == encoders["good"] else "good"]
    build_shadow(index, encoder=other)
    promote_shadow(index)
    with LocalIndex.open(index) as opened:
        assert encoder_of(opened) == other
