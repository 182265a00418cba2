from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import rag

ROOT = Path(rag.__file__).parent.parent


def test_all_is_sorted_and_every_name_is_there() -> None:
    assert rag.__all__ == sorted(rag.__all__)
    for name in rag.__all__:
        assert getattr(rag, name) is not None
    assert set(dir(rag)) == set(rag.__all__)


def test_components_import_neither_the_graph_nor_the_command() -> None:
    """Imports go one way: records and protocols <- prompts <- stages, retrievers, rerankers, generators <- graph <- cli."""
    wrong = []
    for package in (
        "prompts",
        "retrievers",
        "rerankers",
        "generators",
        "rag/stages",
        "rag/ingest",
        "rag/models",
    ):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = (
                    [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else [a.name for a in node.names]
                    if isinstance(node, ast.Import)
                    else []
                )
                wrong += [
                    f"{path.relative_to(ROOT)}: {n}"
                    for n in names
                    if n.startswith(("rag.graph", "rag.cli", "rag.pipeline", "rag.indexing", "rag.evaluate"))
                ]
    assert wrong == []


def test_the_records_import_nothing_of_ours() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, rag.types; print([m for m in sys.modules if m.startswith('rag.')])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "rag.protocols" not in done.stdout
