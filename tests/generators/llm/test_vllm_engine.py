"""What can be known of vLLM without loading it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from generators.llm.vllm_engine import prepare_environment, require_loadable
from rag.core.errors import MissingDependency


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that gets a line for every process that is asked; the first one cannot load vLLM, later ones can."""
    tries = tmp_path / "tries"
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\necho once more >> '{tries}'\n"
        f"[ $(wc -l < '{tries}') -gt 1 ] || {{ echo 'OSError: no such library' >&2; exit 1; }}\n"
        "echo vllm 1.0 on cpu\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    require_loadable.cache_clear()
    yield tries
    require_loadable.cache_clear()


def test_vllm_is_asked_whether_it_loads_until_it_does(asked: Path) -> None:
    """A server that is asked for its state again and again must not import vLLM in a new process each time."""
    with pytest.raises(MissingDependency, match="does not load: OSError: no such library"):
        require_loadable()
    assert [require_loadable() for _ in range(3)] == ["vllm 1.0 on cpu"] * 3
    assert len(asked.read_text().splitlines()) == 2


def test_the_engine_meets_its_processes_on_this_machine_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM would ask a route to two public addresses for its own one."""
    for told, kept in ((None, "127.0.0.1"), ("10.0.0.7", "10.0.0.7")):
        monkeypatch.delenv("VLLM_HOST_IP", raising=False)
        if told is not None:
            monkeypatch.setenv("VLLM_HOST_IP", told)
        prepare_environment()
        assert os.environ["VLLM_HOST_IP"] == kept


@pytest.mark.parametrize(("cores", "bound"), [([2, 3], "2,3"), (list(range(8)), None)])
def test_few_cores_are_all_used_for_one_that_is_left_free_is_half_of_two(
    cores: list[int], bound: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generators.llm.vllm_engine.usable_core_ids", lambda: cores)
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "1")
    prepare_environment()
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "1", "who sets it is listened to"
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND")
    prepare_environment()
    assert os.environ.get("VLLM_CPU_OMP_THREADS_BIND") == bound
