from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from generators.llm import vllm_guard
from generators.llm.vllm_guard import born, family

pytestmark = pytest.mark.skipif(not vllm_guard.PROC.is_dir(), reason="needs /proc")

PROGRAM = """
import os, subprocess, sys
inner = "import subprocess; subprocess.Popen(['sleep', '600']).wait()"
engine = subprocess.Popen([sys.executable, "-c", inner], start_new_session=True)
subprocess.Popen([sys.executable, sys.argv[1], str(os.getpid()), str(engine.pid)], start_new_session=True)
print(engine.pid, flush=True)
engine.wait()
"""


def wait_until(true: Callable[[], bool], seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def test_a_killed_program_takes_its_children_and_theirs_along() -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, vllm_guard.__file__], stdout=subprocess.PIPE)
    assert program.stdout is not None
    engine = int(program.stdout.readline())
    assert wait_until(lambda: len(family(engine)) == 2)
    births = {process: born(process) for process in family(engine)}
    time.sleep(1.5)
    assert {process: born(process) for process in births} == births, "the guard struck while its program lived"
    program.send_signal(signal.SIGKILL)
    program.wait()
    program.stdout.close()
    assert wait_until(lambda: all(_gone(process, birth) for process, birth in births.items()))


def _gone(process: int, birth: str) -> bool:
    try:
        state = (vllm_guard.PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z" or born(process) != birth


def test_a_process_is_known_by_its_birth() -> None:
    assert born(os.getpid()) == born(os.getpid()) != ""
    assert born(2**22 + 1) == ""
    assert os.getpid() in family(os.getppid())
