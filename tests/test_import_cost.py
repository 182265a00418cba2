from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "faiss", "vllm", "langchain_core", "numba")
HELP = "from rag.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"


def loaded_after(code: str) -> set[str]:
    """The names of all modules."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_import_rag_loads_nothing_heavy() -> None:
    loaded = loaded_after("import rag")
    assert not loaded & {*HEAVY, "numpy", "pydantic", "yaml", "rich"}


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_after(HELP)
    assert not loaded & {*HEAVY, "numpy", "pydantic"}


@pytest.mark.parametrize("graph", ["ask", "hybrid-icr"])
def test_checking_a_graph_loads_no_engine(graph: str) -> None:
    loaded = loaded_after(f"from rag.cli import main\nmain(['check', '{graph}'])")
    assert not loaded & set(HEAVY)


def test_comparing_runs_loads_nothing_that_runs_a_graph() -> None:
    loaded = loaded_after("import rag.cli.compare")
    assert not {name for name in loaded if name.startswith(("rag.graph", "rag.indexing", "rag.pipeline", "generators"))}


def test_import_and_help_load_few_modules() -> None:
    """Modules and not seconds, for these depend on what else the machine does. Now it is 53 and 97."""
    bare = loaded_after("pass")
    assert len(loaded_after("import rag") - bare) < 80
    assert len(loaded_after(HELP) - bare) < 150
