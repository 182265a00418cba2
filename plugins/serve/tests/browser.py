"""A real Chromium on a real server, for the tests of the page."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ragline_serve.commands.listening import listen
from ragline_serve.service.running import BoundedServer
from ragline_serve.service.settings import ServeSettings

SCREENSHOTS = Path(__file__).resolve().parents[3] / "screenshots"
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


class Served:
    """A running server: its address, and a way to end it early."""

    def __init__(self, server: Any, listening: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = server
        self._thread = threading.Thread(target=lambda: server.run(sockets=[listening]), name="test-server")
        self._thread.start()

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@contextmanager
def served(app: Any, settings: ServeSettings | None = None) -> Iterator[Served]:
    """Run an application on a free port of this machine until the block ends, as the commands do.

    The socket listens before the server runs, so a first request waits instead of being refused.
    """
    with listen("127.0.0.1", 0) as listening:
        running = Served(BoundedServer(app, settings or ServeSettings()), listening)
        try:
            yield running
        finally:
            running.end()


def keep(page: Any, name: str) -> None:
    """Keep a picture of what the page shows."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")
