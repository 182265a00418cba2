"""requirements.lock names every dependency, of plug-ins too, at a version that is taken, with hashes and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = {
    canonicalize_name(name): (version, hashes.split())
    for name, version, hashes in re.findall(r"(?m)^(\S+)==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", LOCK + "\n")
}
PROJECTS: dict[str, dict[str, Any]] = {
    project["name"]: project
    for path in (ROOT / "pyproject.toml", *sorted((ROOT / "plugins").glob("*/pyproject.toml")))
    for project in [tomllib.loads(path.read_text(encoding="utf-8"))["project"]]
}
LEFT_OUT = {"vllm"}
"""It has an environment of its own: `make vllm-cpu`."""


def requirements() -> list[Requirement]:
    listed = [
        part
        for project in PROJECTS.values()
        for name, part in {"": project["dependencies"], **project["optional-dependencies"]}.items()
        if name not in LEFT_OUT
    ]
    return [Requirement(one) for part in listed for one in part]


@pytest.mark.parametrize("wanted", requirements(), ids=str)
def test_the_lock_has_a_version_that_the_project_takes(wanted: Requirement) -> None:
    if wanted.name in PROJECTS:
        assert wanted.extras <= PROJECTS[wanted.name]["optional-dependencies"].keys()
        return
    version, _ = PINS.get(canonicalize_name(wanted.name), ("", []))
    assert version, "run: make lock"
    assert wanted.specifier.contains(version, prereleases=True), "run: make lock"


def test_every_line_is_a_pin_a_hash_or_a_note() -> None:
    """So it names no index, no address and no path."""
    lines = re.compile(r"(#.*|[a-z0-9][a-z0-9._-]*==[a-z0-9.!]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?)")
    assert [line for line in LOCK.splitlines() if not lines.fullmatch(line)] == []
    assert "://" not in LOCK
    assert len(PINS) == len(re.findall(r"(?m)^[a-z0-9]", LOCK))
    assert all(hashes for _, hashes in PINS.values())
