"""The page in a real browser: nothing is fetched or run, and nothing sticks out, however long names are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.lab.tests.conftest import write_lines
from plugins.lab.tests.test_robust import LINES
from rag.graphs import Part, load_spec
from ragline_lab.robust.robust import robust
from ragline_lab.robust.ways import ways_of
from tests.browser import keep

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_long_names_on_wide_and_narrow_screens(browser: Any, scheme: Any, tmp_path: Path) -> None:
    write_lines(tmp_path / f"{'a-long-name-' * 15}.jsonl", LINES)
    part = Part(use="llm.scripted", params={"replies": ["In France [1].", "In Spain [1].", "In America [1]."]})
    ways = ways_of({"a-long-model-" * 12: part}, {}, search=load_spec("bm25"))
    robust(tmp_path / f"{'a-long-name-' * 15}.jsonl", ways, out=tmp_path / "out")
    seen: list[str] = []
    shown = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    for event in ("request", "console", "dialog"):
        shown.on(event, lambda told, event=event, seen=seen: seen.append(event))
    shown.goto((tmp_path / "out" / "robust.html").as_uri())
    assert shown.locator("svg").count() == 10, "five contexts, right and planted answers"
    for width in (1280, 420):
        shown.set_viewport_size({"width": width, "height": 900})
        assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert seen == ["request"], "the page itself"
    keep(shown, f"lab-robust-{scheme}")
    shown.close()
