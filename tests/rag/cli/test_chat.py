"""A conversation in the terminal, over a model that says which turns it was given and, when asked to, never ends."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = '''
import time
from collections.abc import Iterator, Sequence

from generators.llm import LLMS
from rag.types import Completion, Prompt, SamplingParams


class TellingLLM:
    """Says what it was asked."""

    context_window = 4096

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [sum(len(turn.content.split()) for turn in prompt) for prompt in prompts]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        return [Completion(text="".join(self.stream(prompt, params))) for prompt in prompts]

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[str]:
        turns = [f"user={turn.content.split()[-1]}" for turn in prompt if turn.role == "user"]
        yield f"I was told {' '.join(turns)}."
        if "broken" in prompt[-1].content:
            raise ValueError("the model is out of order")
        number = 0
        while "forever" in prompt[-1].content:
            time.sleep(0.01)
            number += 1
            yield f" Word{number}x is number {number}."


LLMS.add("telling", TellingLLM)
'''
GRAPH = """\
version: 1
models: {writer: {use: llm.telling}}
nodes:
  answer: {use: generate.closed_book, with: {llm: writer}}
output: answer
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "graph.yaml").write_text(GRAPH)
    start = [sys.executable, "-c", "import rag.cli; raise SystemExit(rag.cli.main())"]
    return [*start, "chat", "--plugin", str(tmp_path / "model.py"), "--graph", str(tmp_path / "graph.yaml")]


def test_a_question_is_answered_after_those_before_it(command: list[str]) -> None:
    done = subprocess.run(command, input="one\n\n  \ntwo\nthree", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = [line for line in done.stdout.splitlines() if line.startswith("I was told")]
    assert [line.count("user=") for line in answers] == [1, 2, 3]
    assert "user=one" in answers[2]
    assert "user=three" in answers[2]


def test_turns_that_do_not_fit_are_left_out(command: list[str]) -> None:
    questions = [f"{'word ' * 600}q{number}" for number in range(4)]
    done = subprocess.run(command, input="\n".join(questions), capture_output=True, text=True, check=False)
    answers = [line for line in done.stdout.splitlines() if line.startswith("I was told")]
    assert [line.count("user=") for line in answers] == [1, 2, 2, 2]
    assert "user=q0" not in answers[3]


def test_a_question_that_fails_ends_no_conversation(command: list[str]) -> None:
    done = subprocess.run(command, input="one\nbroken\ntwo", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rag: node 'answer' (generate.closed_book) failed" in done.stderr
    assert "user=one user=two." in done.stdout
    assert "Traceback" not in done.stderr


def test_a_graph_that_searches_alone_is_refused(command: list[str], lexical_index: Path) -> None:
    whole = [*command[:4], "--graph", "bm25", "--index", str(lexical_index)]
    done = subprocess.run(whole, input="one", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "ends in rankings, not answers" in done.stderr


def test_at_a_terminal_ctrl_c_ends_an_answer_and_ctrl_d_the_chat(command: list[str]) -> None:
    ours, theirs = pty.openpty()
    chat = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""

    def has_come(words: bytes, seconds: float) -> bool:
        nonlocal shown
        while words not in shown:
            if not select.select([ours], [], [], seconds)[0]:
                return False
            shown += os.read(ours, 4096)
        shown = shown.partition(words)[2]
        return True

    def until(words: bytes) -> None:
        assert has_come(words, seconds=120), shown

    until(b"> ")
    os.write(ours, b"forever\n")
    until(b"Word3x")
    chat.send_signal(signal.SIGINT)
    until(b"stopped; this question is no part of the conversation")
    until(b"> ")
    # At the prompt it ends nothing. What comes before the terminal is read is not heard until the next one.
    assert any(chat.send_signal(signal.SIGINT) or has_come(b"> ", seconds=2) for _ in range(60)), shown
    os.write(ours, b"two\n")
    until(b"I was told user=two.")
    until(b"> ")
    os.write(ours, b"\x04")
    assert chat.wait(timeout=120) == 0
    os.close(ours)
