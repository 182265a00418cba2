from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rag.core.house import HOUSE, foreign_packages


def test_here_all_five_packages_are_ours() -> None:
    assert foreign_packages() == {}


@pytest.mark.parametrize("name", [n for n in HOUSE if n != "rag"])
def test_the_first_failing_import_names_a_foreign_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    script = "import rag; rag.load_pipeline('closed-book')"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"MissingDependency: '{name}' comes from {tmp_path / name}, not from ragline" in done.stderr


def test_the_command_started_as_a_module_names_it_too(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "__init__.py").write_text("")
    command = [sys.executable, "-m", "rag", "check", "closed-book"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "comes from" in done.stderr
    assert done.returncode in (2, 3)


def test_doctor_names_foreign_folders_beside_the_user(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "__init__.py").write_text("")
    (tmp_path / "generators").mkdir()  # no package: it hides nothing
    command = [sys.executable, "-c", "from rag.cli import main; import sys; sys.exit(main(['doctor']))"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "folder 'prompts/' in this directory hides" in done.stdout
    assert "'generators/'" not in done.stdout
