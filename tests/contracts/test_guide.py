"""The reranker of the guide passes the tests that the guide names, as it stands there."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from rerankers import RERANKERS
from tests.contracts.conftest import Given
from tests.contracts.test_contracts import TestRerankers as OfRerankers
from tests.contracts.test_identity import test_every_parameter_is_in_the_identity as every_parameter_is_in_the_identity

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add_a_component.md"
CHECKS = [check for name, check in vars(OfRerankers).items() if name.startswith("test_")]


@pytest.fixture
def longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the reranker of the page, in a file of its own and in the table."""
    example = re.search(r"```python\n(\"\"\"Longest.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    file = tmp_path / "longest.py"
    file.write_text(example.group(1), encoding="utf-8")
    spec = spec_from_file_location("longest_of_the_guide", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where its annotations are looked up
    spec.loader.exec_module(module)
    monkeypatch.setitem(RERANKERS._table, "longest", module.LongestReranker)
    return "longest"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_rerankers(
    check: Callable[..., None], longest: str, request: pytest.FixtureRequest
) -> None:
    wanted = [name for name in inspect.signature(check).parameters if name not in ("self", "name")]
    fixtures: dict[str, Any] = {name: request.getfixturevalue(name) for name in wanted}
    check(OfRerankers(), name=longest, **fixtures)


def test_all_that_it_depends_on_is_in_its_identity(longest: str, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    every_parameter_is_in_the_identity("rerank", longest, given, monkeypatch)
