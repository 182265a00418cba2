"""A folder that nobody prepared: photos, a PDF and a recording, indexed by one command, asked in three languages in a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from plugins.media.tests.drawn import drawings, encoded
from plugins.media.tests.printed import LEFT, WIDTH, baseline, printed
from plugins.media.tests.spoken import talk
from plugins.media.tests.test_page import complaints_of
from plugins.serve.tests.served import served
from rag import load_pipeline
from rag.graphs import load_spec
from ragline_serve import ServeSettings, create_app
from tests.browser import PATIENCE_MS, keep
from tests.scripted_graph import graph

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.slow]

RULES = ["Regeln des Hauses", "Wer krank ist, ruft vor neun Uhr im Büro an.", "Wer umzieht, hat zwei Tage frei."]
SAID = "La chaussure de marche coûte quarante euros et se vend au premier étage."


def recorded() -> tuple[bytes, str]:
    """A recording in French, as espeak-ng reads it or as people spoke captions; and what is asked of it."""
    if shutil.which("espeak-ng"):
        said = ["espeak-ng", "-v", "fr", "--stdout", SAID]
        return subprocess.run(said, capture_output=True, check=True).stdout, "Combien coûte la chaussure de marche ?"
    data = Path(os.environ.get("RAGLINE_EVAL_DATA", "absent"))
    if not (data / "multimodal" / "tux" / "pairs.jsonl.gz").exists():
        pytest.skip("no recording: espeak-ng is not installed, and the spoken captions are not among the data")
    return talk(data, 12)[1], "une chaussure pour la randonnée"


def answering(*replies: str) -> dict[str, Any]:
    """Hybrid search as it comes, and a model that says what it is told to."""
    told, hybrid = graph(replies=[*replies]), load_spec("hybrid").graph.model_dump(by_alias=True, exclude_none=True)
    nodes = {name: node for name, node in told["nodes"].items() if name != "bm25"}
    nodes["ranked"] = nodes["ranked"] | {"in": hybrid["output"]}
    return told | {"nodes": hybrid["nodes"] | nodes}


def test_a_folder_that_nobody_prepared_answers_in_three_languages(browser: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    home, index = tmp_path / "home", tmp_path / "idx"
    home.mkdir()
    for place, each in enumerate(drawings(1)[:6]):
        (home / f"IMG_{place:04}.png").write_bytes(encoded(each.picture(640)))
        (home / f"IMG_{place:04}.txt").write_text(f"This is {each.caption} on a white wall.\n")
    (home / "regeln.pdf").write_bytes(printed([["Ein Blatt davor"], RULES]))
    sound, question = recorded()
    (home / "REC_0001.wav").write_bytes(sound)
    command = [sys.executable, "-m", "rag", "index", str(home), "--index", str(index)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr

    told = list[list[str]]()
    asked = {
        "This is a green frame on a white wall [1].": "Where is the green frame?",
        "Wer krank ist, ruft vor neun Uhr im Büro an [1].": "Wann rufe ich im Büro an, wenn ich krank bin?",
        "La chaussure pour la randonnée [1].": question,
    }
    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(answering(*asked), index=index))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))

        def cited(words: str) -> Any:
            """A page, with the passage open that the answer cites."""
            page = stack.enter_context(closing(browser.new_page(viewport={"width": 900, "height": 900})))
            page.set_default_timeout(PATIENCE_MS)
            told.append(complaints_of(page))
            page.goto(server.url)
            page.get_by_label("Question").fill(words)
            page.keyboard.press("Enter")
            page.locator(".cite").first.click()
            return page

        english, german, french = asked.values()
        page = cited(english)
        picture = page.locator("#passage-text .media-picture img")
        expect(picture).to_have_js_property("naturalWidth", 320)
        assert picture.get_attribute("alt") == "This is a green frame on a white wall."
        keep(page, "asked-in-english-a-photo")
        page = cited(german)
        expect(page.locator(".media-page figcaption")).to_have_text("Page 2 of 2; marked is the sentence.")
        sheet, mark = (page.locator(each).bounding_box() for each in (".media-page img", ".media-mark"))
        scale = sheet["width"] / WIDTH
        assert mark["x"] - sheet["x"] == pytest.approx(LEFT * scale, abs=3)
        assert mark["y"] - sheet["y"] < baseline(1) * scale < mark["y"] + mark["height"] - sheet["y"]
        keep(page, "asked-in-german-a-page")
        page = cited(french)
        button = page.get_by_role("button", name="Play from").first
        button.click()
        player = page.locator("#passage-text .media-sound audio")
        page.wait_for_function("audio => audio.played.length", arg=player.element_handle())
        minutes, seconds = (int(part) for part in button.text_content().removeprefix("▶ ").split(":"))
        assert 0 <= player.evaluate("audio => audio.played.start(0)") - (60 * minutes + seconds) < 1
        keep(page, "asked-in-french-a-second")
    assert told == [[], [], []]
