"""The install line of a missing library works from where ragline was installed."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from rag.core import optional
from rag.core.errors import MissingDependency

HOME = Path(optional.__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("said", "extra", "line"),
    [
        (None, "ocr", "pip install -e '{home}[ocr]'"),
        (None, "", "pip install -e {home}"),
        ("no JSON", "", "pip install -e {home}"),
        ({"url": "https://files.example/r.whl"}, "ocr", "pip install 'ragline[ocr] @ https://files.example/r.whl'"),
        (
            {"url": "https://git.example/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "ocr",
            "pip install 'ragline[ocr] @ git+https://git.example/r.git@abc'",
        ),
        (
            {"url": "file:///dist/ragline-1.whl", "archive_info": {}},
            "ocr",
            "pip install '/dist/ragline-1.whl[ocr]'",
        ),
        ({"url": "file:///src/rag%20line", "dir_info": {}}, "ocr", "pip install '/src/rag line[ocr]'"),
        ({"url": "file:///src/ragline", "dir_info": {"editable": True}}, "", "pip install -e /src/ragline"),
        ({"url": "file:///src/ragline", "dir_info": {"editable": True}}, "x", "pip install -e '/src/ragline[x]'"),
    ],
)
def test_the_line_names_where_it_came_from(monkeypatch: pytest.MonkeyPatch, said: Any, extra: str, line: str) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return said if said is None or isinstance(said, str) else json.dumps(said)

    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Installed())
    line = line.format(home=HOME)
    assert optional.install_line(extra) == line
    with pytest.raises(MissingDependency) as missing:
        optional.need("no_such_module", by="the test", extra=extra)
    assert str(missing.value) == f"the test needs no_such_module, which is not installed. Run: {line}"


def test_without_a_clone_the_line_says_where_to_run_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: (_ for _ in ()).throw(PackageNotFoundError()))
    monkeypatch.setattr(optional, "__file__", str(tmp_path / "rag" / "core" / "optional.py"))
    assert optional.install_line("ocr") == "pip install -e '.[ocr]' (in a clone of ragline)"


@pytest.mark.parametrize(
    "folder", [*(each for each in (HOME / "docs").rglob("*.md") if "decisions" not in each.parts), HOME / "README.md"]
)
def test_docs_install_nothing_from_an_index_that_has_it_not(folder: Path) -> None:
    assert re.findall(r"""pip install ["']?ragline[^ ]*""", folder.read_text(encoding="utf-8")) == []


def test_a_library_of_the_system_is_named_with_its_package() -> None:
    optional.need_system_library("libc.so.6" if sys.platform == "linux" else "libSystem.dylib", by="x", package="y")
    with pytest.raises(
        MissingDependency, match=r"x needs libnowhere\.so\.1 of the system.*apt-get install libnowhere1"
    ):
        optional.need_system_library("libnowhere.so.1", by="x", package="libnowhere1")
