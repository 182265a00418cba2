"""The page in a real browser: nothing is fetched or run, and nothing sticks out, however long names are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.lab.tests.leaderboard.test_leaderboard import HIGH, HOSTILE, LOW, facts, of
from ragline_lab.leaderboard.board import board_of
from ragline_lab.leaderboard.page import page
from tests.browser import keep

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_twelve_sets_of_hostile_and_long_names(browser: Any, scheme: Any, tmp_path: Path) -> None:
    systems = ["bm25", HOSTILE, "a-system-" * 12, "dense", *(f"system {n}" for n in range(8))]
    sets = [*(f"set {n}" for n in range(10)), HOSTILE, "a-set-" * 20]
    measured = {
        name: {system: of((LOW, HIGH)[(place + n) % 2]) for n, system in enumerate(systems)}
        for place, name in enumerate(sets)
    }
    place = tmp_path / "board.html"
    place.write_text(page(board_of(measured, facts(measured), baseline="bm25"), title=HOSTILE, at=place))
    seen: list[str] = []
    shown = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    shown.on("request", lambda request: seen.append(request.url))
    shown.on("console", lambda message: seen.append(message.text))
    shown.on("dialog", lambda dialog: seen.append(dialog.message))
    shown.goto(place.as_uri())
    for width in (1280, 420):
        shown.set_viewport_size({"width": width, "height": 900})
        assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert seen == [place.as_uri()]
    assert shown.locator("svg").count() == len(sets) + 1
    assert not shown.locator("a").first.is_visible()
    shown.locator("summary").first.click()
    assert shown.locator("a").first.is_visible()
    keep(shown, f"leaderboard-{scheme}")
