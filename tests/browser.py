"""A real Chromium, for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

SCREENSHOTS = Path(__file__).resolve().parents[1] / "screenshots"
PATIENCE_MS = 180_000
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """The Chromium of this machine: RAGLINE_CHROMIUM, or the first that is found."""
    given = os.environ.get("RAGLINE_CHROMIUM")
    return given or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator[Any]:
    """A headless browser; the test skips, with the reason, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    place = chromium()
    if place is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in RAGLINE_CHROMIUM")
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def started_browser() -> Iterator[Any]:
    """Started once for the tests of a module; not for those of others, whose event loops would meet with its own."""
    with launched() as browser:
        yield browser


@pytest.fixture
def browser(started_browser: Any) -> Iterator[Any]:
    """The browser of the module, without pages of the tests before."""
    yield started_browser
    for context in started_browser.contexts:
        context.close()


def keep(page: Any, name: str) -> None:
    """Keep a picture of what the page shows."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")


def hold(page: Any, pattern: str) -> Callable[[], Any]:
    """Hold back what the page asks for. Returns what waits for the next such request: it may not have left a busy browser."""
    held: list[Any] = []
    page.route(pattern, lambda route: held.append(route))  # a builtin has no attributes, and the driver sets one

    def taken() -> Any:
        end = monotonic() + PATIENCE_MS / 1000
        while not held and monotonic() < end:
            page.wait_for_timeout(20)
        return held.pop(0)

    return taken
