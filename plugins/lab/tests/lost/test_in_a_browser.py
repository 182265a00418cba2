"""The pages in a real browser: nothing is fetched or run, and nothing sticks out, however long names are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.lab.tests.lost.test_pages import hostile
from ragline_lab.lost.changes import changes_between
from ragline_lab.lost.page import diff_page, lost_page
from tests.browser import keep

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_names_on_wide_and_narrow_screens(browser: Any, scheme: Any, tmp_path: Path) -> None:
    one, other = hostile(tmp_path)
    pages = {
        "lost": lost_page(one, title="a-long-name-" * 20),
        "diff": diff_page(changes_between(one, other), title="a-long-name-" * 20),
    }
    for name, text in pages.items():
        place = tmp_path / f"{name}.html"
        place.write_text(text)
        seen: list[str] = []
        shown = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
        for event in ("request", "console", "dialog"):
            shown.on(event, lambda told, event=event, seen=seen: seen.append(event))
        shown.goto(place.as_uri())
        shown.locator("summary").first.click()
        assert shown.locator("details table").first.is_visible()
        for width in (1280, 420):
            shown.set_viewport_size({"width": width, "height": 900})
            assert shown.evaluate("document.documentElement.scrollWidth") == width
        assert seen == ["request"], "the page itself"
        keep(shown, f"lab-{name}-{scheme}")
        shown.close()
