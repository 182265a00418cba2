"""The install line of a missing library works from where ragline was installed."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from rag.core import optional
from rag.core.errors import MissingDependency


@pytest.mark.parametrize(
    ("said", "extra", "line"),
    [
        (None, "serve", "pip install 'ragline[serve]'"),
        (None, "", "pip install ragline"),
        ("no JSON", "", "pip install ragline"),
        ({"url": "https://index.example/ragline.whl"}, "ray", "pip install 'ragline[ray]'"),
        ({"url": "file:///src/rag%20line", "dir_info": {}}, "ray", "pip install '/src/rag line[ray]'"),
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
    assert optional.install_line(extra) == line
    with pytest.raises(MissingDependency) as missing:
        optional.need("no_such_module", by="the test", extra=extra)
    assert str(missing.value) == f"the test needs no_such_module, which is not installed. Run: {line}"


def test_a_library_of_the_system_is_named_with_its_package() -> None:
    optional.need_system_library("libc.so.6" if sys.platform == "linux" else "libSystem.dylib", by="x", package="y")
    with pytest.raises(
        MissingDependency, match=r"x needs libnowhere\.so\.1 of the system.*apt-get install libnowhere1"
    ):
        optional.need_system_library("libnowhere.so.1", by="x", package="libnowhere1")
