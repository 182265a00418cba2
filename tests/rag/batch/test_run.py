from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.batch.folder import ANSWERS, FAILURES, LEDGER
from rag.batch.run import BatchReport, Forecast, run_batch
from rag.cli import main
from rag.core.errors import MissingModel, SpecError
from rag.core.types import Completion, Document, Prompt, SamplingParams
from rag.indexing import build_index
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.questions import read_questions
from tests.generators.llm.conftest import save_random_model
from tests.other_machines import HerePickled
from tests.small_index import small_index

WORDS = ["leave", "bicycle", "laptop", "warranty", "signatures", "train", "goggles", "wheel", "assembly", "receipt"]


def graph(llm: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "models": {"small": llm or {"use": "llm.scripted", "with": {"replies": ["It is so [1]."]}}},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "in": "query", "k": 3},
            "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "small", "max_tokens": 120}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small", "max_tokens": 8} | changes},
        },
        "output": "answer",
    }


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> Path:
    return small_index(tmp_path_factory.mktemp("batch"), documents)


def questions(folder: Path, n: int) -> Path:
    path = folder / "questions.jsonl"
    lines = [{"id": f"q{i}", "question": f"When is the {WORDS[i % 10]} number {i}?"} for i in range(n)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def lines_of(out: Path, name: str = ANSWERS) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text(encoding="utf-8").splitlines()]


def stripped(out: Path) -> dict[str, dict[str, Any]]:
    """Lines by key, without what may differ between two runs."""
    return {line["key"]: {k: v for k, v in line.items() if k != "cost"} for line in lines_of(out)}


def answered(path: Path, index: Path, out: Path, spec: dict[str, Any] | None = None, **options: Any) -> BatchReport:
    with load_pipeline(spec or graph(), index=index) as pipeline:
        return run_batch(path, pipeline, out=out, **options)


def test_every_question_gets_one_line(index: Path, tmp_path: Path) -> None:
    told: list[Forecast] = []
    report = answered(questions(tmp_path, 50), index, tmp_path / "out", batch=8, workers=1, forecast=told.append)
    lines = lines_of(tmp_path / "out")
    assert sorted(line["id"] for line in lines) == sorted(f"q{i}" for i in range(50))
    assert (report.n_answered, report.n_failed, report.n_kept) == (50, 0, 0)
    line = next(line for line in lines if line["id"] == "q2")
    assert line["status"] == "answered"
    assert line["stages"]["bm25"][0]["doc_id"] == line["passages"][0] == line["citations"][0]["doc_id"]
    assert line["tokens"]["calls"] == 1
    assert line["tokens"]["prompt"] > 20
    assert set(line["cost"]["seconds"]) == {"bm25", "context", "answer"}
    assert [forecast.n_left for forecast in told] == [42]
    ledger = json.loads((tmp_path / "out" / LEDGER).read_text())
    assert ledger["answered"] == 50
    assert {node["node"]: node["n_in"] for node in ledger["nodes"]} == {"bm25": 50, "context": 50, "answer": 50}


def test_batches_and_workers_change_no_line(index: Path, tmp_path: Path) -> None:
    path = questions(tmp_path, 30)
    answered(path, index, tmp_path / "a", batch=1, workers=1)
    answered(path, index, tmp_path / "b", batch=7, workers=4)
    assert stripped(tmp_path / "a") == stripped(tmp_path / "b")


def test_a_run_goes_on_where_it_was_and_repeats_nothing(index: Path, tmp_path: Path) -> None:
    path, out = questions(tmp_path, 30), tmp_path / "out"
    answered(path, index, out, limit=11)
    before = (out / ANSWERS).read_bytes()
    with pytest.raises(SpecError, match="holds a run already"):
        answered(path, index, out)
    report = answered(path, index, out, resume=True)
    assert (report.n_kept, report.n_answered) == (11, 19)
    assert (out / ANSWERS).read_bytes().startswith(before)
    assert answered(path, index, out, resume=True).n_answered == 0
    answered(path, index, tmp_path / "whole")
    assert stripped(out) == stripped(tmp_path / "whole")


def test_the_forecast_of_a_resumed_run_counts_what_is_left(index: Path, tmp_path: Path) -> None:
    """Also where what is committed stands behind the first open question."""
    path, out = questions(tmp_path, 40), tmp_path / "out"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[10:30]))
    answered(path, index, out)
    path.write_text(whole)
    told: list[Forecast] = []
    shown: list[int] = []

    def progress(what: str, n_done: int, n_all: int) -> None:
        shown.append(n_done)

    report = answered(path, index, out, resume=True, batch=5, workers=1, forecast=told.append, progress=progress)
    assert [forecast.n_left for forecast in told] == [15]
    assert (report.n_kept, report.n_answered) == (20, 20)
    assert shown == [20, 25, 30, 35, 40]


def test_the_forecast_of_a_retry_counts_the_failed_ones_alone(index: Path, tmp_path: Path) -> None:
    path, out = questions(tmp_path, 30), tmp_path / "out"
    told: list[Forecast] = []
    run_batch(path, choosy(index, tuple(f"number {i}?" for i in range(8))), out=out)
    run_batch(path, choosy(index, ()), out=out, retry_failed=True, batch=2, workers=1, forecast=told.append)
    assert [forecast.n_left for forecast in told] == [6]


def test_another_graph_or_index_is_refused_and_so_is_another_wording_under_an_old_id(
    index: Path, tmp_path: Path, documents: tuple[Document, ...]
) -> None:
    path, out = questions(tmp_path, 3), tmp_path / "out"
    answered(path, index, out)
    with pytest.raises(SpecError, match="made with another graph"):
        answered(path, index, out, graph(max_tokens=9), resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.md").write_text(documents[0].text)
    build_index([tmp_path / "other"], tmp_path / "idx", legs=("lexical",))
    with pytest.raises(SpecError, match="made with another index"):
        answered(path, tmp_path / "idx", out, resume=True)
    before, answers = path.read_text(), (out / ANSWERS).read_bytes()
    path.write_text(before.replace("number 1?", "number one?"))
    with pytest.raises(SpecError, match=r"1 questions are not those that '.*answers\.jsonl' answers .*\(line 2\)"):
        answered(path, index, out, resume=True)
    assert (out / ANSWERS).read_bytes() == answers
    path.write_text(before.replace("number 1?", "number one?").replace('"q1"', '"q1-again"'))
    report = answered(path, index, out, resume=True)
    assert (report.n_kept, report.n_answered) == (2, 1)


def test_a_failed_question_may_be_put_in_other_words(index: Path, tmp_path: Path) -> None:
    path, out = questions(tmp_path, 6), tmp_path / "out"
    run_batch(path, choosy(index, ("number 4?",)), out=out)
    path.write_text(path.read_text().replace("number 4?", "number four?"))
    assert answered(path, index, out, resume=True).n_answered == 1
    assert sorted(line["id"] for line in lines_of(out)) == [f"q{i}" for i in range(6)]


@pytest.mark.parametrize("bad", ['{"id": "q150"', '{"id": "q3", "question": "again?"}', "[" * 100_000])
def test_a_bad_line_is_told_before_anything_is_paid_for(index: Path, tmp_path: Path, bad: str) -> None:
    path, out = questions(tmp_path, 150), tmp_path / "out"
    path.write_text(path.read_text() + bad + "\n")
    with load_pipeline(graph(), index=index) as pipeline:
        with pytest.raises(SpecError, match=r"questions\.jsonl:151: "):
            run_batch(path, pipeline, out=out)
        assert not out.exists(), "the folder would have to be resumed"
        assert run_batch(path, pipeline, out=out, limit=150).n_answered == 150


def test_an_editor_that_leaves_out_the_last_lines_end_loses_no_answer(index: Path, tmp_path: Path) -> None:
    path, out = questions(tmp_path, 3), tmp_path / "out"
    answered(path, index, out)
    before = (out / ANSWERS).read_bytes()
    (out / ANSWERS).write_bytes(before.rstrip(b"\n"))
    assert answered(path, index, out, resume=True).n_kept == 3
    assert (out / ANSWERS).read_bytes() == before


def test_a_full_disk_is_told_without_a_trace_and_the_run_goes_on_later(index: Path, tmp_path: Path) -> None:
    """The command as a process that may write files of 20,000 bytes."""
    (tmp_path / "g.yaml").write_text(json.dumps(graph()))
    path, out = questions(tmp_path, 60), tmp_path / "out"
    command = ["batch", str(path), "--graph", str(tmp_path / "g.yaml"), "--index", str(index), "--out", str(out)]
    ended = subprocess.run(
        [sys.executable, "-m", "rag", *command],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "cannot be written (File too large)" in ended.stderr
    assert "go on with --resume" in ended.stderr
    assert "Traceback" not in ended.stderr
    kept = lines_of(out)
    assert 0 < len(kept) < 60
    assert main([*command, "--resume"]) == 0
    assert sorted(line["id"] for line in lines_of(out)) == sorted(f"q{i}" for i in range(60))
    assert lines_of(out)[: len(kept)] == kept


class Choosy(ScriptedLLM):
    """Fails at prompts that hold a word."""

    hated: tuple[str, ...] = ("number 4?", "number 25?")

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        for prompt in prompts:
            for word in self.hated:
                if word in prompt[-1].content:
                    raise RuntimeError(f"cannot bear {word}")
        return super().complete(prompts, params)


def choosy(index: Path, hated: tuple[str, ...]) -> Pipeline:
    pipeline = load_pipeline(graph(), index=index)
    model = Choosy(replies=("It is so [1].",))
    model.hated = hated
    pipeline.graph.parts["answer"].llm = model
    return pipeline


def test_a_failed_question_is_recorded_and_asked_again_only_when_wanted(index: Path, tmp_path: Path) -> None:
    path, out = questions(tmp_path, 30), tmp_path / "out"
    report = run_batch(path, choosy(index, Choosy.hated), out=out)
    assert (report.n_answered, report.n_failed) == (28, 2)
    failures = lines_of(out, FAILURES)
    told = {line["id"]: (line["node"], line["error"]) for line in failures}
    assert told == {f"q{i}": ("answer", f"RuntimeError: cannot bear number {i}?") for i in (4, 25)}
    assert run_batch(path, choosy(index, ()), out=out, resume=True).n_kept == 30
    again = run_batch(path, choosy(index, ("number 25?",)), out=out, retry_failed=True)
    assert (again.n_answered, again.n_failed, again.n_kept) == (1, 1, 28)
    assert lines_of(out, FAILURES) == failures
    assert run_batch(path, choosy(index, ()), out=out, retry_failed=True).n_answered == 1
    assert {line["id"] for line in lines_of(out)} == {f"q{i}" for i in range(30)}


class Dying(ScriptedLLM):
    """Answers the batch that has one question, and is not there for any other."""

    good = ""

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        if not any(self.good in prompt[-1].content for prompt in prompts):
            raise MissingModel("no server answers")
        return super().complete(prompts, params)


@pytest.mark.parametrize(("good", "kept"), [("number 0?", range(20)), ("number 20?", range(20, 60))])
def test_what_hits_all_questions_alike_ends_the_run_and_keeps_what_is_done(
    index: Path, tmp_path: Path, good: str, kept: range
) -> None:
    """Two batches are in the graph together: whichever of them was answered stays, before the other or behind it."""
    path, out = questions(tmp_path, 60), tmp_path / "out"
    pipeline = load_pipeline(graph(), index=index)
    pipeline.graph.parts["answer"].llm = model = Dying(replies=("It is so [1].",))
    model.good = good
    with pytest.raises(MissingModel, match="no server answers"):
        run_batch(path, pipeline, out=out)
    assert [line["id"] for line in lines_of(out)] == [f"q{i}" for i in kept]
    assert lines_of(out, FAILURES) == []
    assert answered(path, index, out, resume=True).n_answered == 60 - len(kept)
    assert {line["id"] for line in lines_of(out)} == {f"q{i}" for i in range(60)}


class Counting(ScriptedLLM):
    """Begins with the first three batches when all of them are here; then one that should not be there would come too."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.all = self.now = self.most = 0
        self.gate, self.three = threading.Lock(), threading.Barrier(3, timeout=120)

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        with self.gate:
            self.all += 1
            self.now += 1
            self.most = max(self.most, self.now)
            among_the_first = self.all <= 3
        if among_the_first:
            self.three.wait()
        time.sleep(0.02)
        with self.gate:
            self.now -= 1
        return super().complete(prompts, params)


def test_no_more_batches_are_in_the_graph_than_workers(index: Path, tmp_path: Path) -> None:
    model = Counting(replies=("It is so [1].",))
    pipeline = load_pipeline(graph(), index=index)
    pipeline.graph.parts["answer"].llm = model
    run_batch(questions(tmp_path, 60), pipeline, out=tmp_path / "out", batch=4, workers=3)
    assert model.most == 3


class Meeting(ScriptedLLM):
    """Completes a batch only when another one is here too."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.two = threading.Barrier(2, timeout=120)

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        self.two.wait()
        return super().complete(prompts, params)


def test_the_second_batch_begins_beside_the_first_one(index: Path, tmp_path: Path) -> None:
    """An engine that waits for the first, small batch alone would idle at the start of every run."""
    pipeline = load_pipeline(graph(), index=index)
    pipeline.graph.parts["answer"].llm = Meeting(replies=("It is so [1].",))
    run_batch(questions(tmp_path, 16), pipeline, out=tmp_path / "out", batch=8, workers=2)
    assert [line["status"] for line in lines_of(tmp_path / "out")] == ["answered"] * 16


def test_two_processes_do_not_write_in_one_folder(index: Path, tmp_path: Path) -> None:
    import fcntl

    path, out = questions(tmp_path, 3), tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SpecError, match="another process is writing"):
            answered(path, index, out)


@pytest.mark.parametrize("out", ["questions.jsonl", "questions.jsonl/out", "nobody-writes-here", "a" * 300])
def test_a_folder_that_cannot_be_written_is_named(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    (tmp_path / "g.yaml").write_text(json.dumps(graph()))
    (tmp_path / "nobody-writes-here").mkdir()
    (tmp_path / "nobody-writes-here" / ".lock").mkdir()  # a mode would not keep root out
    path, folder = questions(tmp_path, 3), tmp_path / out
    command = ["batch", str(path), "--graph", str(tmp_path / "g.yaml"), "--index", str(index), "--out", str(folder)]
    assert main(command) == 2
    assert f"'{folder}' is no folder that can be written in" in capsys.readouterr().err
    assert len(list(read_questions(path))) == 3


def test_a_graph_that_ends_in_rankings_has_nothing_to_commit(index: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="ends in rankings"), load_pipeline("bm25", index=index) as pipeline:
        run_batch(questions(tmp_path, 3), pipeline, out=tmp_path / "out")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _killed(path: Path, index: Path, out: Path, *, more_bytes: int, seconds: float) -> bool:
    """Run in a forked child, which kills itself so long after it has written so much more. True if it was still at work.

    Itself: where the machine is busy, another process would see too late how much is written.
    """
    enough = _size(out / ANSWERS) + more_bytes

    def kill() -> None:
        while _size(out / ANSWERS) < enough:
            time.sleep(0.001)
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        code = 1
        try:
            threading.Thread(target=kill, daemon=True).start()
            answered(path, index, out, resume=True, batch=3)
            code = 0
        finally:
            os._exit(code)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 and later, on fork
def test_a_run_killed_at_twenty_moments_loses_nothing_and_repeats_nothing(index: Path, tmp_path: Path) -> None:
    """Each kill takes at most the batches in flight; what was committed stays byte for byte."""
    path, out = questions(tmp_path, 500), tmp_path / "out"
    answered(path, index, tmp_path / "warm", limit=4)  # children that are forked now begin at once
    dice = random.Random(7)
    moved, kept = 0, b""
    for _ in range(20):
        more_bytes = dice.choice([0, dice.randint(1, 8000)])
        assert _killed(path, index, out, more_bytes=more_bytes, seconds=dice.uniform(0.0, 0.02)), "it ended too soon"
        now = (out / ANSWERS).read_bytes() if (out / ANSWERS).exists() else b""
        whole = now[: now.rfind(b"\n") + 1]
        assert whole.startswith(kept)
        moved += whole != kept
        kept = whole
    assert moved >= 5, "the kills came before any work was done"
    report = answered(path, index, out, resume=True)
    assert report.n_kept == kept.count(b"\n")
    assert (out / ANSWERS).read_bytes().startswith(kept)
    answered(path, index, tmp_path / "whole")
    assert len(lines_of(out)) == 500
    assert stripped(out) == stripped(tmp_path / "whole")


def test_recomputed_answers_of_a_real_model_are_equal(index: Path, tmp_path: Path) -> None:
    """transformers in float32: a line does not depend on the batch that its question was in."""
    folder = save_random_model(tmp_path / "model")
    llm = {"use": "llm.transformers", "with": {"model": str(folder), "device": "cpu", "dtype": "float32"}}
    path = questions(tmp_path, 10)
    answered(path, index, tmp_path / "whole", graph(llm), batch=10)
    answered(path, index, tmp_path / "parts", graph(llm), batch=3, limit=4)
    answered(path, index, tmp_path / "parts", graph(llm), batch=2, resume=True)
    assert stripped(tmp_path / "parts") == stripped(tmp_path / "whole")
    assert len({line["answer"] for line in lines_of(tmp_path / "whole")}) > 1


def test_the_command_answers_tells_and_resumes(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "g.yaml").write_text(json.dumps(graph()))
    path, out = questions(tmp_path, 30), tmp_path / "out"
    command = ["batch", str(path), "--graph", str(tmp_path / "g.yaml"), "--index", str(index), "--out", str(out)]
    assert main([*command, "--workers", "1"]) == 0
    captured = capsys.readouterr()
    assert "30 questions answered, 0 failed, 0 were done before" in captured.out
    assert "10 questions to go" in captured.err
    assert main(command) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 30


def test_by_stage_lines_are_the_same_and_the_first_batch_is_whole(index: Path, tmp_path: Path) -> None:
    path, told = questions(tmp_path, 50), list[Forecast]()
    answered(path, index, tmp_path / "together")
    with load_pipeline(graph(), index=index, by_stage=True) as pipeline:
        run_batch(path, pipeline, out=tmp_path / "in-turns", batch=30, forecast=told.append)
    assert stripped(tmp_path / "in-turns") == stripped(tmp_path / "together")
    assert [forecast.n_left for forecast in told] == [20]


def test_by_stage_takes_one_batch_at_a_time_and_no_cluster(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = questions(tmp_path, 2)
    with load_pipeline(graph(), index=index, by_stage=True) as pipeline:
        with pytest.raises(SpecError, match="workers must be 1, got 2"):
            run_batch(path, pipeline, out=tmp_path / "out", workers=2)
        with pytest.raises(SpecError, match="a cluster keeps each stage in actors of its own"):
            run_batch(path, pipeline, out=tmp_path / "out", cluster=HerePickled())
    assert not (tmp_path / "out").exists()
    spec = tmp_path / "graph.json"
    spec.write_text(json.dumps(graph()))
    given = ["batch", str(path), "--graph", str(spec), "--index", str(index), "--out", str(tmp_path / "out")]
    assert main([*given, "--by-stage"]) == 0
    assert "2 questions answered" in capsys.readouterr().out


def test_a_filter_holds_for_all_questions_and_one_in_a_line_for_its_own(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g.yaml").write_text(json.dumps(graph()))
    path, out = tmp_path / "q.jsonl", tmp_path / "out"
    lines = [{"id": "a"}, {"id": "b", "where": "source = texts/d08.md"}]
    path.write_text("".join(json.dumps(line | {"question": "leave or a bicycle"}) + "\n" for line in lines))
    command = ["batch", str(path), "--graph", str(tmp_path / "g.yaml"), "--index", str(index), "--out", str(out)]
    assert main([*command, "--where", "sourec = texts/d02.md"]) == 2
    assert "rag: where: no document has metadata 'sourec'" in capsys.readouterr().err
    assert main([*command, "--where", "source in (texts/d02.md, texts/d08.md)"]) == 0
    passages = {line["id"]: {doc_id.partition("#")[0] for doc_id in line["passages"]} for line in lines_of(out)}
    assert passages == {"a": {"texts/d02.md", "texts/d08.md"}, "b": {"texts/d08.md"}}
    before = (out / ANSWERS).read_bytes()
    assert main([*command, "--resume"]) == 2, "another filter makes other questions of them"
    assert (out / ANSWERS).read_bytes() == before


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("sourec = x", r"q.jsonl:2: where: no document has metadata 'sourec'. Did you mean 'source'"),
        ("source =", r"q.jsonl:2: where, column 9: expected a value"),
        (7, r"q.jsonl:2: where: takes a mapping, text or a filter, got 7"),
    ],
)
def test_a_wrong_filter_of_a_line_is_told_before_anything_is_paid_for(
    index: Path, tmp_path: Path, where: Any, said: str
) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in ({"question": "a"}, {"question": "b", "where": where})))
    with pytest.raises(SpecError, match=said):
        answered(path, index, tmp_path / "out")
    assert not (tmp_path / "out").exists()
