"""The wheel, installed in an empty virtual environment, answers from another folder; plug-ins are installed beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} exited {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def refused(*command: str | Path, cwd: Path) -> str:
    """What a command says that ends with a message of ours."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return next(out.glob("ragline-*.whl"))


def test_the_wheel_holds_graphs_and_prompts_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if "dist-info" not in name}
    assert tops == {"rag", "retrievers", "rerankers", "generators", "prompts"}
    assert "rag/graphs/ask.yaml" in names
    assert "prompts/library/answer_cited.yaml" in names
    assert "rag/py.typed" in names
    assert any(name.endswith("licenses/NOTICE") for name in names)


@pytest.mark.slow
@pytest.mark.models
def test_an_empty_environment_with_the_wheel_answers_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    rag = tmp_path / "venv" / "bin" / "rag"
    # What is imported is compiled then; to compile all of it would take longer than the answer.
    quiet = ("--quiet", "--disable-pip-version-check", "--no-compile")
    run(python, "-m", "pip", "install", *quiet, wheel, cwd=tmp_path)
    notes = tmp_path / "elsewhere" / "notes"
    notes.mkdir(parents=True)
    (notes / "leave.md").write_text("# Leave\n\nEveryone has thirty days of paid leave a year.\n")
    (notes / "keys.md").write_text("# Keys\n\nA lost key is reported to the duty officer at once.\n")
    cwd = notes.parent
    run(rag, "index", "notes", "--index", "idx", "--graph", "ask", cwd=cwd)
    answer = json.loads(run(rag, "ask", "How many days of paid leave?", "--index", "idx", "--json", cwd=cwd))
    assert answer["status"] == "answered"
    assert answer["passages"][0]["doc_id"].startswith("notes/leave.md")
    assert "thirty" in answer["answer"].casefold() or "30" in answer["answer"]
    packages = [place.parent for place in sorted((ROOT / "plugins").glob("*/pyproject.toml"))]
    built = tmp_path / "built"
    for package in packages:
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", built, package, cwd=tmp_path)
    wheels = sorted(built.glob("*.whl"))
    install = (python, "-m", "pip", "install", *quiet, "--no-index", "--no-deps")
    run(*install, *wheels, cwd=tmp_path)  # Ray, which one of them brings, is loaded when a cluster is asked for
    told = run(rag, "list", "plugins", cwd=cwd)
    assert all(f"ragline-{package.name}" in told for package in packages)
    assert "is not a folder" in refused(rag, "lab", "lost", "runs/1", "--dataset", "sets/none", cwd=cwd)
    run(rag, "check", "persuade", cwd=cwd)
