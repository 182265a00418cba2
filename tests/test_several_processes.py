from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.several_processes import LONGEST, WORKER

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "pytest.ini": "[pytest]\nmarkers = other\n",
    "conftest.py": "import os, pytest\n"
    "@pytest.fixture(scope='session')\n"
    "def shared():\n"
    "    yield os.getpid()\n"
    "    print('ended', file=open(f'ended-{os.getpid()}', 'w'))\n",
    "test_one.py": "import os, pytest\n"
    "open(f'one-{os.getpid()}', 'x').close()\n"
    "def test_good(shared): assert shared == os.getpid()\n"
    "def test_bad(): assert [1] == [2]\n"
    "@pytest.mark.other\n"
    "def test_of_another_command(): assert False\n",
    "test_unreadable.py": "import nothing_of_this_name\n",
    "below/test_none.py": "import pytest\n@pytest.mark.other\ndef test_it(): assert False\n",
    "below/test_two.py": "import os\nopen(f'two-{os.getpid()}', 'x').close()\ndef test_good(shared): pass\n",
}


def dealt(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """What pytest says of these files where they are dealt; it loads no plug-in but the two."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    kept = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-pxdist", "-ptests.several_processes", "--dist=load", *more],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_is_read_and_run_by_one_process_and_told_as_always(tmp_path: Path) -> None:
    made = dealt(tmp_path, "-n2", "--maxschedchunk=1", "--import-mode=importlib", "-m", "not other")
    assert made.returncode == 1, made.stdout
    assert "1 failed, 2 passed, 1 error" in made.stdout
    assert "FAILED test_one.py::test_bad - assert [1] == [2]" in made.stdout
    assert "ERROR test_unreadable.py - ImportError" in made.stdout
    readers = [each.name.split("-")[1] for name in ("one", "two") for each in tmp_path.glob(f"{name}-*")]
    assert len(readers) == 2
    assert {each.name for each in tmp_path.glob("ended-*")} == {f"ended-{reader}" for reader in readers}


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [(["test_one.py::test_good"], 0, "1 passed"), (["below", "-m", "no"], 5, "no tests ran")],
)
def test_a_test_is_found_by_its_name_and_none_is_a_mistake(
    asked: list[str], code: int, said: str, tmp_path: Path
) -> None:
    made = dealt(tmp_path, "-n1", *asked)
    assert (made.returncode, said in made.stdout) == (code, True), made.stdout


def test_the_longest_files_are_there() -> None:
    there = {path.name for folder in ("tests", "plugins") for path in (ROOT / folder).rglob("test_*.py")}
    assert set(LONGEST) <= there


@pytest.mark.models
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system keeps no process to some cores")
def test_beside_others_a_test_of_real_models_has_one_core() -> None:
    assert len(os.sched_getaffinity(0)) == 1 or not WORKER
