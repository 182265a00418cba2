from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "transformers", "faiss", "vllm", "langchain_core", "numba", "bm25s")


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps([m for m in sys.modules if '.' not in m]), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def best_of(n: int, command: list[str]) -> float:
    times = []
    for _ in range(n):
        begun = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        times.append(time.perf_counter() - begun)
    return min(times)


def test_import_rag_loads_nothing_heavy() -> None:
    loaded = loaded_after("import rag")
    assert not loaded & {*HEAVY, "numpy", "pydantic", "yaml", "rich"}


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_after("from rag.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass")
    assert not loaded & {*HEAVY, "numpy", "pydantic"}


@pytest.mark.parametrize("graph", ["ask", "hybrid-icr"])
def test_checking_a_graph_loads_no_engine(graph: str) -> None:
    loaded = loaded_after(f"from rag.cli import main\nmain(['check', '{graph}'])")
    assert not loaded & set(HEAVY)


def test_the_cost_of_import_and_help_over_bare_python() -> None:
    bare = best_of(5, [sys.executable, "-c", "pass"])
    assert best_of(5, [sys.executable, "-c", "import rag"]) - bare < 0.15
    assert best_of(5, [sys.executable, "-m", "rag", "--help"]) - bare < 0.3
