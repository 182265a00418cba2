"""The page in a real browser: a cited picture is shown small, and whole once somebody opens it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from rag import build_index, load_pipeline
from rag.graphs import load_spec
from rag.serve import ServeSettings, create_app
from tests.serve.browser import PATIENCE_MS, launched, served
from tests.serve.walled import graph

pytestmark = pytest.mark.browser


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    picture = drawings(1)[0].picture(640)
    (tmp_path / "photos" / "IMG_0001.png").write_bytes(encoded(picture))
    (tmp_path / "photos" / "IMG_0001.txt").write_text("Paid leave <b>for a red disc</b>.\n")
    settings = {"tower": str(random_tower(tmp_path / "tower")), "encoder": str(random_encoder(tmp_path / "encoder"))}
    spec = load_spec(
        {
            "version": 1,
            "index": {"pictures": settings},
            "nodes": {"best": {"use": "retrieve.bm25", "in": "query", "k": 3}},
            "output": "best",
        }
    )
    build_index(tmp_path / "photos", tmp_path / "idx", settings=spec.graph.index, legs=("lexical",))
    return tmp_path / "idx"


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (900, "dark"), (390, "light")])
def test_a_cited_picture_opens_beside_the_answer(index: Path, width: int, scheme: Any) -> None:
    from playwright.sync_api import expect

    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(graph(), index=index))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        browser = stack.enter_context(launched())
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(PATIENCE_MS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(server.url)
        page.get_by_label("Question").fill("How much paid leave?")
        page.keyboard.press("Enter")
        page.locator(".cite").first.click()
        picture = page.locator("#passage-text .media-picture img")
        expect(picture).to_have_js_property("complete", True)
        expect(picture).to_have_js_property("naturalWidth", 320)
        assert picture.get_attribute("alt") == "Paid leave <b>for a red disc</b>."
        assert picture.get_attribute("src").startswith("blob:")
        opened = page.get_by_role("button", name="Show the whole picture")
        opened.focus()
        page.keyboard.press("Enter")
        expect(picture).to_have_js_property("naturalWidth", 640)
        expect(opened).to_have_attribute("aria-expanded", "true")
        across = page.evaluate("document.documentElement.scrollWidth")
        assert across <= width, "nothing is wider than the page"
        assert complaints == []
