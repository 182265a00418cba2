"""Compiled code is kept between processes, and is compiled where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numba.core.caching import FunctionCache

from retrievers.stores import kernel

ONCE = """
import numpy as np
from retrievers.stores.kernel import add_products
sums = np.zeros(2)
add_products(np.array([1]), np.ones(1), np.array([0, 1]), np.array([0]), np.array([3.0]), sums)
print(sums.tolist(), sum(add_products.stats.cache_hits.values()))
"""


def twice(number: int) -> int:
    return 2 * number


def test_what_one_process_compiled_the_next_one_finds_unless_its_bytes_changed(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}

    def once() -> str:
        command = [sys.executable, "-c", ONCE]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert [once(), once()] == ["[0.0, 3.0] 0\n", "[0.0, 3.0] 1\n"]
    for file in tmp_path.rglob("*.nb*"):
        file.write_bytes(b"broken")
    assert [once(), once()] == ["[0.0, 3.0] 0\n", "[0.0, 3.0] 1\n"]


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: Exception) -> Any:
        def failing(*given: object, **named: object) -> None:
            raise error

        return failing

    for method, error in {
        "load_overload": EOFError("half a file"),
        "save_overload": OSError(28, "No space left on device"),
        "__init__": RuntimeError("cannot cache function: no locator available"),
    }.items():
        with monkeypatch.context() as patched:
            patched.setattr(FunctionCache, method, fails(error))
            assert kernel.compiled(twice)(21) == 42
