from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.several_processes import LONGEST, WORKER

ROOT = Path(__file__).resolve().parents[1]


def test_the_longest_files_are_there() -> None:
    there = {path.name for folder in ("tests", "plugins") for path in (ROOT / folder).rglob("test_*.py")}
    assert set(LONGEST) <= there


@pytest.mark.models
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system keeps no process to some cores")
def test_beside_others_a_test_of_real_models_has_one_core() -> None:
    assert len(os.sched_getaffinity(0)) == 1 or not WORKER
