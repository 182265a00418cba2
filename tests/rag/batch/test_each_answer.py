"""Answers that are on the disk as soon as they are written, where the model writes side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.batch.folder import ANSWERS, FAILURES, LEDGER
from rag.batch.run import run_batch
from rag.core.types import Completion, Document, Prompt, SamplingParams
from rag.pipeline import Pipeline, load_pipeline
from tests.rag.batch.test_run import graph, lines_of, questions, stripped
from tests.small_index import small_index

SLOW = """
    import os, threading, time
    from pathlib import Path
    from generators.llm import LLMS
    from generators.llm.scripted import ScriptedLLM
    from rag.core.stopping import unwanted

    class SlowLLM(ScriptedLLM):
        '''Writes one answer after the other, and is stuck at the third.'''

        one_by_one, log = threading.Lock(), Path(os.environ["ASKED"])

        @property
        def streams_together(self):
            return True

        def stream(self, prompt, params):
            with self.one_by_one:
                if unwanted():
                    raise RuntimeError("nobody wants it")
                with self.log.open("a") as log:
                    print(prompt[-1].content.split("number ")[-1].split("?")[0], file=log)
                while os.environ.get("STUCK") and len(self.log.read_text().split()) > 2 and not unwanted():
                    time.sleep(0.01)
                return (yield from super().stream(prompt, params))

    LLMS.add("slow", SlowLLM)
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> Path:
    return small_index(tmp_path_factory.mktemp("batch"), documents)


class Command:
    """`rag batch` over twenty questions, by a model that answers two and is stuck at the third."""

    def __init__(self, folder: Path, index: Path, *options: str) -> None:
        (folder / "slow_model.py").write_text(textwrap.dedent(SLOW))
        spec = graph({"use": "llm.slow", "with": {"replies": ["It is so [1]."]}})
        (folder / "g.yaml").write_text(json.dumps(spec))
        path, self.out, self.asked = questions(folder, 20), folder / "out", folder / "asked"
        places = os.pathsep.join([str(folder), str(Path(__file__).parents[3])])
        self.env = {**os.environ, "PYTHONPATH": places, "ASKED": str(self.asked)}
        command = [sys.executable, "-m", "rag", "batch", str(path), "--graph", str(folder / "g.yaml"), *options]
        self.command = [*command, "--index", str(index), "--out", str(self.out), "--plugin", "slow_model"]

    def stopped_by(self, number: signal.Signals) -> tuple[int, str]:
        """Exit code and stderr when the signal came after two answers, as soon as they were on the disk."""
        env = {**self.env, "STUCK": "1"}
        with subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True, env=env) as running:
            while len(self.answers()) < 2 and running.poll() is None:
                time.sleep(0.01)
            running.send_signal(number)
            _, err = running.communicate(timeout=60)
        assert running.returncode != 2, err
        return running.returncode, err

    def resumed(self) -> None:
        subprocess.run([*self.command, "--resume"], env=self.env, check=True, capture_output=True)

    def answers(self) -> list[dict[str, Any]]:
        file = self.out / ANSWERS
        return [json.loads(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []


@pytest.mark.parametrize("options", [(), ("--by-stage",)])
def test_a_kill_at_the_third_question_of_twenty_loses_that_one_alone(
    index: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    command = Command(tmp_path, index, *options)
    code, _ = command.stopped_by(signal.SIGKILL)
    assert code == -signal.SIGKILL
    kept = command.answers()
    assert len(kept) == 2
    command.asked.write_text("")
    command.resumed()
    assert command.answers()[:2] == kept
    assert sorted(line["id"] for line in command.answers()) == sorted(f"q{i}" for i in range(20))
    again = {f"q{number}" for number in command.asked.read_text().split()}
    assert len(command.asked.read_text().split()) == 18
    assert again.isdisjoint(line["id"] for line in kept)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_end_keeps_what_is_done_and_says_so(index: Path, tmp_path: Path, number: signal.Signals) -> None:
    command = Command(tmp_path, index)
    code, err = command.stopped_by(number)
    assert code == 130
    assert f"rag: interrupted: 2 answers are kept in '{command.out}'; go on with --resume" in err
    assert "Traceback" not in err
    assert [line["status"] for line in command.answers()] == ["answered"] * 2, "the one in work is not an answer"
    assert (command.out / LEDGER).exists()
    command.resumed()
    assert len(command.answers()) == 20


class Together(ScriptedLLM):
    """Writes side by side, and notes how many streams are open at a time."""

    hated: tuple[str, ...] = ()

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.open = self.most = 0
        self.gate, self.seven = threading.Lock(), threading.Barrier(7, timeout=120)

    @property
    def streams_together(self) -> bool:
        return True

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        self.refuse([prompt])
        return self.counted(super().stream(prompt, params))

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        self.refuse(prompts)
        return super().complete(prompts, params)

    def refuse(self, prompts: Sequence[Prompt]) -> None:
        for word in self.hated:
            if any(word in prompt[-1].content for prompt in prompts):
                raise RuntimeError(f"cannot bear {word}")

    def counted(self, pieces: Generator[str, None, Completion]) -> Generator[str, None, Completion]:
        self.seven.wait()
        return (yield from pieces)


def asking(index: Path, model: ScriptedLLM, **options: Any) -> Pipeline:
    pipeline = load_pipeline(graph(), index=index, **options)
    pipeline.graph.parts["answer"].llm = model
    return pipeline


def test_all_questions_of_a_batch_are_with_the_model_at_a_time(index: Path, tmp_path: Path) -> None:
    model = Together(replies=("It is so [1].",))
    report = run_batch(questions(tmp_path, 14), asking(index, model), out=tmp_path / "out", batch=7, workers=1)
    assert report.n_answered == 14
    assert model.batches == [], "no call of many prompts was needed"


def test_lines_and_ledger_are_those_of_a_batch(index: Path, tmp_path: Path) -> None:
    path, model = questions(tmp_path, 14), Together(replies=("It is so [1].",))
    run_batch(path, asking(index, model), out=tmp_path / "apart", batch=7, workers=1)
    run_batch(path, asking(index, ScriptedLLM(replies=("It is so [1].",))), out=tmp_path / "batch", batch=7)
    assert stripped(tmp_path / "apart") == stripped(tmp_path / "batch")

    def costs(out: Path) -> list[dict[str, Any]]:
        nodes = json.loads((out / LEDGER).read_text())["nodes"]
        return [{k: v for k, v in node.items() if k not in ("seconds", "per_query")} for node in nodes]

    assert costs(tmp_path / "apart") == costs(tmp_path / "batch")


def test_a_question_that_fails_is_told_as_of_a_batch(index: Path, tmp_path: Path) -> None:
    path, model = questions(tmp_path, 9), Together(replies=("It is so [1].",))
    model.hated = ("number 4?", "number 7?")
    report = run_batch(path, asking(index, model), out=tmp_path / "out", workers=1)
    assert (report.n_answered, report.n_failed) == (7, 2)
    failed = sorted((line["id"], line["node"], line["error"]) for line in lines_of(tmp_path / "out", FAILURES))
    assert failed == [
        ("q4", "answer", "RuntimeError: cannot bear number 4?"),
        ("q7", "answer", "RuntimeError: cannot bear number 7?"),
    ]


class Patient(Together):
    """Writes an answer only when the one before it was told."""

    def __init__(self, told: list[int]) -> None:
        super().__init__(replies=("It is so [1].",))
        self.told = told

    def counted(self, pieces: Generator[str, None, Completion]) -> Generator[str, None, Completion]:
        with self.gate:
            while len(self.told) <= self.open:
                time.sleep(0.001)
            self.open += 1
            return (yield from pieces)


def test_progress_is_told_from_the_start_and_by_question(index: Path, tmp_path: Path) -> None:
    told: list[int] = []

    def progress(what: str, n_done: int, n_all: int) -> None:
        assert (what, n_all) == ("questions", 12)
        told.append(n_done)

    run_batch(questions(tmp_path, 12), asking(index, Patient(told)), out=tmp_path / "out", progress=progress)
    assert told == list(range(13))


class Joining(ScriptedLLM):
    """Works on the calls of three threads together, and streams nothing together."""

    three = threading.Barrier(3, timeout=120)

    @property
    def joins_calls(self) -> bool:
        return True

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        self.three.wait()
        return super().stream(prompt, params)


def test_a_model_that_joins_calls_is_asked_by_question_too(index: Path, tmp_path: Path) -> None:
    pipeline = asking(index, Joining(replies=("It is so [1].",)))
    assert run_batch(questions(tmp_path, 3), pipeline, out=tmp_path / "out").n_answered == 3
