"""`make demo-chat`, really run: the default models answer over HTTP and on the page, and Ctrl-C ends the server."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.browser import keep, launched

pytestmark = [pytest.mark.models, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[3]
QUESTION = "How many days of paid annual leave do I have?"
PATIENCE_S = 1200


@dataclass
class Demo:
    """The demo's process, where it answers, and the file of what it says."""

    process: subprocess.Popen[bytes]
    url: str
    said: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    said = tmp_path_factory.mktemp("demo") / "said"
    command = [sys.executable, str(ROOT / "examples" / "demo_chat.py"), "--port", "0"]
    with said.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            yield Demo(process=process, url=address(process, said), said=said)
        finally:
            process.kill()


def address(process: subprocess.Popen[bytes], said: Path) -> str:
    """Where it says that it serves, once it says so."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"at (http://127\.0\.0\.1:\d+)", said.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.2)
    raise AssertionError(f"it serves nothing: {said.read_text(errors='replace')[-2000:]}")


def test_the_default_models_answer_a_question_and_a_follow_up(demo: Demo) -> None:
    page = httpx2.get(demo.url, timeout=PATIENCE_S)  # weights are still loading, which may hold the interpreter's lock
    assert page.status_code == 200
    assert "<title>ragline</title>" in page.text
    assert (
        httpx2.get(f"{demo.url}/page/page.js", timeout=PATIENCE_S).headers["content-type"].startswith("text/javascript")
    )
    messages = [{"role": "user", "content": QUESTION}]
    text, whole = streamed(demo, messages)
    assert "28" in text
    assert whole["status"] == "answered"
    assert any("people/leave.md" in source["doc_id"] for source in whole["sources"])
    # A follow-up that the model is sure of: which docs stand beside the handbook in its passages changes with every page.
    messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "When do they lapse?"}]
    text, whole = streamed(demo, messages)
    assert "31 March" in text
    assert [stage["name"] for stage in whole["stages"]][-2:] == ["answer", "checked"]


def streamed(demo: Demo, messages: list[dict[str, str]]) -> tuple[str, dict[str, Any]]:
    """The text of an answer as it streamed, and the whole of the extension at its end."""
    pieces: list[str] = []
    last: dict[str, Any] = {}
    body = {"model": "chat", "messages": messages, "stream": True}
    with httpx2.stream("POST", f"{demo.url}/v1/chat/completions", json=body, timeout=PATIENCE_S) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith("data: {"):
                chunk = json.loads(line.removeprefix("data: "))
                last = chunk.get("ragline", last)
                pieces += [choice["delta"].get("content", "") for choice in chunk["choices"]]
    return "".join(pieces), last


def test_the_page_shows_the_answer_of_the_default_models(demo: Demo) -> None:
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(demo.url)
        page.get_by_label("Question").fill(QUESTION)
        page.keyboard.press("Enter")
        page.locator(".stages").wait_for()
        assert page.locator(".answer").text_content()
        page.locator(".source").first.click()
        page.locator("#passage").wait_for()
        assert page.locator("#passage-text").text_content()
        keep(page, "demo")
        page.keyboard.press("Escape")
        page.locator("summary").click()
        page.locator(".moves").scroll_into_view_if_needed()
        keep(page, "demo-stages")


def test_ctrl_c_ends_it_cleanly(demo: Demo) -> None:
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(timeout=PATIENCE_S) == 0
    assert "Traceback" not in demo.said.read_text(errors="replace")
