from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.several_processes import LONGEST, WORKER, write_again

ROOT = Path(__file__).resolve().parents[1]


def test_the_longest_files_are_there() -> None:
    there = {path.name for folder in ("tests", "plugins") for path in (ROOT / folder).rglob("test_*.py")}
    assert set(LONGEST) <= there


def test_what_one_process_writes_again_is_read_by_the_others(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that is kept is the one that pytest looks for, and it tells what an assertion held."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "test_one.py"
    file.write_text("def test_one():\n    assert sum([1, 2]) == 4\n")
    write_again(file, pytestconfig)
    [kept] = tmp_path.glob("**/test_one*-pytest-*.pyc")
    written = kept.stat().st_mtime_ns
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
        file,
    ]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert "assert 3 == 4" in said
    assert kept.stat().st_mtime_ns == written


@pytest.mark.models
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system keeps no process to some cores")
def test_beside_others_a_test_of_real_models_has_one_core() -> None:
    assert len(os.sched_getaffinity(0)) == 1 or not WORKER
