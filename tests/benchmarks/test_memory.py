from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory import memory_of, watched

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MIB = 2**20
ROOT = Path(__file__).resolve().parents[2]
HOLDS = "import subprocess, sys, time; held = bytearray({} * 2**20); {}"


def runs(script: str) -> str:
    return f"subprocess.run([sys.executable, '-c', {script!r}])"


def test_memory_that_is_held_is_anonymous_and_what_was_freed_is_in_the_peak() -> None:
    script = """
from benchmarks.memory import memory_of
before = memory_of()
held = bytearray(80 * 2**20)
during = memory_of()
del held
after = memory_of()
print(during.anonymous - before.anonymous, during.anonymous - after.anonymous, after.peak - during.resident)
"""  # a process of its own: what threads of other tests free meanwhile is no part of it
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    held, freed, above = map(int, told.stdout.split())
    assert held > 75 * MIB
    assert freed > 75 * MIB
    assert above >= -4 * MIB


def test_a_process_that_has_ended_holds_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()  # it ends, and its status is not asked for
    while memory_of(process.pid).resident:
        pass
    assert memory_of(process.pid).peak == 0
    process.communicate()


def test_processes_that_a_command_starts_count_together_and_itself_does_not() -> None:
    command = HOLDS.format(200, runs(HOLDS.format(50, runs(HOLDS.format(70, "time.sleep(5)")))))
    seen = watched([sys.executable, "-c", f"{command}; print('done')"])
    assert seen.output == "done\n"
    assert 115 * MIB < seen.workers_peak_bytes < 190 * MIB


def test_a_command_that_fails_is_said_to_have_failed() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        watched([sys.executable, "-c", "raise SystemExit(3)"])
