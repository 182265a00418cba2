"""The page in a real browser: what a cited passage holds is shown, and the page that it stands on."""

from __future__ import annotations

import base64
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from plugins.media.tests.filmed import SIDE, filmed
from plugins.media.tests.printed import LEFT, WIDTH, baseline, printed
from plugins.media.tests.seeing import seeing
from plugins.media.tests.spoken import talk
from plugins.serve.tests.served import served
from rag import build_index, load_pipeline
from rag.graphs import load_spec
from ragline_serve import ServeSettings, create_app
from tests.browser import PATIENCE_MS, hold, keep
from tests.scripted_graph import graph

pytestmark = pytest.mark.browser
# The first citation is opened in the moment in which it stands on the page.
CLICK_AT_ONCE = """() => new MutationObserver((_, observer) => {
  const cited = document.querySelector(".cite");
  if (cited) { observer.disconnect(); cited.click(); }
}).observe(document.body, { childList: true, subtree: true })"""


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
def test_a_cited_picture_opens_beside_the_answer(browser: Any, index: Path, width: int, scheme: Any) -> None:
    from playwright.sync_api import expect

    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(graph(), index=index))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(
            closing(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
        )
        page.set_default_timeout(PATIENCE_MS)
        complaints = complaints_of(page)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server.url)
        page.get_by_label("Question").fill("How much paid leave?")
        page.keyboard.press("Enter")
        page.locator(".cite").first.click()
        picture = page.locator("#passage-text .media-picture img")
        expect(picture).to_have_js_property("complete", True)
        expect(picture).to_have_js_property("naturalWidth", 320)
        assert picture.get_attribute("alt") == "Paid leave <b>for a red disc</b>."
        assert picture.get_attribute("src").startswith("blob:")
        opened = page.locator("#passage-text").get_by_role("button", name="Show the whole picture")
        opened.focus()
        page.keyboard.press("Enter")
        expect(picture).to_have_js_property("naturalWidth", 640)
        expect(opened).to_have_attribute("aria-expanded", "true")
        across = page.evaluate("document.documentElement.scrollWidth")
        assert across <= width, "nothing is wider than the page"
        assert complaints == []


def test_a_caption_that_a_model_wrote_is_shown_as_its(
    browser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from playwright.sync_api import expect

    from rag.cli import main

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "IMG_0001.png").write_bytes(encoded(drawings(1)[0].picture()))
    models = {"tower": str(random_tower(tmp_path / "tower")), "encoder": str(random_encoder(tmp_path / "encoder"))}
    with seeing([], say=lambda body: "Paid leave, drawn as a red disc.") as url:
        eyes = {"use": "llm.server", "with": {"url": url, "model": "eyes", "dialect": "openai", "vision": True}}
        transforms = [{"use": "captions", "with": {"llm": eyes}}]
        spec = load_spec(graph() | {"index": {"pictures": models, "transforms": transforms}})
        build_index(tmp_path / "photos", tmp_path / "idx", settings=spec.graph.index, legs=("lexical",))
    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(graph(), index=tmp_path / "idx"))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(closing(browser.new_page(viewport={"width": 900, "height": 900})))
        page.set_default_timeout(PATIENCE_MS)
        page.goto(server.url)
        page.get_by_label("Question").fill("How much paid leave?")
        page.keyboard.press("Enter")
        page.locator(".cite").first.click()
        caption = page.locator("#passage-text .media-picture figcaption")
        expect(caption).to_have_text("Paid leave, drawn as a red disc. (caption by the model eyes)")
    assert main(["search", "paid leave", "--index", str(tmp_path / "idx"), "--graph", "bm25"]) == 0
    assert "[picture (caption by the model eyes) image/png" in capsys.readouterr().out


def test_a_reader_who_is_faster_than_the_plug_ins_sees_what_they_draw(browser: Any, index: Path) -> None:
    from playwright.sync_api import expect

    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(graph(), index=index))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(closing(browser.new_page(viewport={"width": 1440, "height": 900})))
        page.set_default_timeout(PATIENCE_MS)
        parts = hold(page, "**/page/parts.json")
        page.goto(server.url)
        page.get_by_label("Question").fill("How much paid leave?")
        page.keyboard.press("Enter")
        page.evaluate(CLICK_AT_ONCE)
        page.wait_for_timeout(1000)  # without plug-ins an answer would be there by now, and its passage open
        parts().continue_()
        expect(page.locator("#passage-text .media-picture img")).to_have_js_property("naturalWidth", 320)


def test_a_cited_recording_plays_from_the_second_that_is_pressed(browser: Any, eval_data: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "timbres.wav").write_bytes(talk(eval_data)[1])
    build_index(tmp_path / "talks", tmp_path / "idx", legs=("lexical",))
    with ExitStack() as stack:
        replies = {"replies": ["C'est une chaussure pour la randonnée [1]."]}
        pipeline = stack.enter_context(load_pipeline(graph(**replies), index=tmp_path / "idx"))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(closing(browser.new_page(viewport={"width": 390, "height": 900})))
        page.set_default_timeout(PATIENCE_MS)
        complaints = complaints_of(page)
        page.goto(server.url)
        page.get_by_label("Question").fill("une chaussure pour la randonnée")
        page.keyboard.press("Enter")
        page.locator(".cite").first.click()
        expect(page.locator(".media-sound [aria-current=true]").first).to_be_visible()
        page.get_by_role("button", name="Play from").nth(5).click()
        player = page.locator("#passage-text .media-sound audio")
        expect(player).to_have_js_property("paused", False)
        told = page.get_by_role("button", name="Play from").nth(5).text_content()
        minutes, seconds = (int(part) for part in told.removeprefix("▶ ").split(":"))
        page.wait_for_function("audio => audio.played.length", arg=player.element_handle())
        begun = player.evaluate(
            "audio => audio.played.start(audio.played.length - 1)"
        )  # where it is now is the clock's
        assert 0 <= begun - (60 * minutes + seconds) < 1
        assert 60 < player.evaluate("audio => audio.duration") < 66
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing is wider than the page"
        assert complaints == []
        page.screenshot(path=str(tmp_path / "sound.png"))


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_a_citation_of_a_pdf_opens_its_page_with_the_sentence_marked(
    browser: Any, tmp_path: Path, width: int, scheme: Any
) -> None:
    from playwright.sync_api import expect

    (tmp_path / "manuals").mkdir()
    pages = [["Rules of the house"], ["It is so.", "Paid leave is thirty days a year.", "Ask for it early."]]
    (tmp_path / "manuals" / "rules.pdf").write_bytes(printed(pages))
    build_index(tmp_path / "manuals", tmp_path / "idx", legs=("lexical",))
    with ExitStack() as stack:
        replies = {"replies": ["Paid leave is thirty days a year [1]."]}
        pipeline = stack.enter_context(load_pipeline(graph(**replies), index=tmp_path / "idx"))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(
            closing(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
        )
        page.set_default_timeout(PATIENCE_MS)
        complaints = complaints_of(page)
        page.goto(server.url)
        page.get_by_label("Question").fill("How much paid leave?")
        page.keyboard.press("Enter")
        page.locator(".cite").first.click()
        picture = page.locator(".media-page img")
        expect(picture).to_have_js_property("naturalWidth", 1190)
        assert picture.get_attribute("alt") == "Page 2 of manuals/rules.pdf; marked: Paid leave is thirty days a year."
        expect(page.locator(".media-page figcaption")).to_have_text("Page 2 of 2; marked is the sentence.")
        sheet, mark = (page.locator(each).bounding_box() for each in (".media-page img", ".media-mark"))
        scale = sheet["width"] / WIDTH
        assert mark["x"] - sheet["x"] == pytest.approx(LEFT * scale, abs=3)
        assert mark["y"] - sheet["y"] < baseline(1) * scale < mark["y"] + mark["height"] - sheet["y"]
        keep(page, f"page-of-a-pdf-{width}-{scheme}")
        larger = page.get_by_role("button", name="Show page 2 larger")
        larger.focus()
        page.keyboard.press("Enter")
        expect(larger).to_have_attribute("aria-expanded", "true")
        assert picture.bounding_box()["width"] > sheet["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is wider than the page"
        page.get_by_role("button", name="Read the document").click()
        shown = page.get_by_role("button", name="Show page 2", exact=True)
        shown.first.click()
        expect(page.locator(".media-page").first).to_be_visible()
        assert complaints == []


def test_a_picture_is_dropped_on_the_page_and_what_is_found_is_a_gallery(browser: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    home = tmp_path / "photos"
    home.mkdir()
    some = drawings(1)[:4]
    for place, each in enumerate(some):
        (home / f"IMG_{place:04}.png").write_bytes(encoded(each.picture(320)))
        (home / f"IMG_{place:04}.txt").write_text(f"{each.caption}, for you\n")
    settings = {"tower": str(random_tower(tmp_path / "tower")), "encoder": str(random_encoder(tmp_path / "encoder"))}
    answering = graph(replies=["It is one of these [1]."])
    answering["nodes"]["bm25"] = {"use": "retrieve.pictures", "in": "query", "k": 3, "with": {"words": 0.0}}
    spec = load_spec(answering | {"index": {"pictures": settings}})
    build_index(home, tmp_path / "idx", settings=spec.graph.index, legs=("lexical",))
    dropped = base64.b64encode(encoded(some[2].picture(320))).decode()
    with ExitStack() as stack:
        pipeline = stack.enter_context(
            load_pipeline(answering | {"index": {"pictures": settings}}, index=tmp_path / "idx")
        )
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(closing(browser.new_page(viewport={"width": 390, "height": 900})))
        page.set_default_timeout(PATIENCE_MS)
        complaints = complaints_of(page)
        page.goto(server.url)
        expect(page.get_by_role("button", name="Add a picture")).to_be_visible()
        page.evaluate(DROP, [dropped, "image/png", "disc.png"])
        chosen = page.get_by_role("list", name="Pictures that are asked with")
        expect(chosen.get_by_role("img", name="disc.png")).to_be_visible()
        page.evaluate(DROP, [dropped, "application/zip", "all.zip"])
        expect(page.get_by_text("all.zip is no picture that is read here.")).to_be_visible()
        page.get_by_role("button", name="Remove disc.png").focus()
        page.keyboard.press("Enter")
        expect(chosen.get_by_role("img")).to_have_count(0)
        page.evaluate(DROP, [dropped, "image/png", "disc.png"])
        assert page.get_by_label("Question").bounding_box()["width"] > 130, "there is room for words"
        keep(page, "a-picture-is-asked-with")
        page.get_by_label("Question").fill("like this")
        page.keyboard.press("Enter")
        gallery = page.get_by_role("list", name="Pictures that were found")
        expect(gallery.get_by_role("listitem")).to_have_count(3)
        first = gallery.get_by_role("listitem").first
        expect(first.get_by_role("img")).to_have_js_property("naturalWidth", 320)
        assert first.get_by_role("img").get_attribute("alt") in [f"{each.caption}, for you" for each in some]
        expect(page.get_by_role("list", name="Asked with").get_by_role("img")).to_have_js_property("naturalWidth", 320)
        expect(chosen.get_by_role("img")).to_have_count(0)
        whole = first.get_by_role("button", name="Show the whole picture")
        whole.focus()
        page.keyboard.press("Enter")
        expect(whole).to_have_attribute("aria-expanded", "true")
        keep(page, "a-gallery-of-pictures")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing is wider than the page"
        assert complaints == []


def complaints_of(page: Any) -> list[str]:
    """What the page will tell its console of errors, but for a server that is still loading."""
    told: list[str] = []

    def hear(said: Any) -> None:
        if said.type == "error" and not said.location["url"].endswith("/ready"):
            told.append(said.text)

    page.on("console", hear)
    return told


DROP = """([data, type, name]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type }));
  document.body.dispatchEvent(new DragEvent("dragover", { dataTransfer, bubbles: true, cancelable: true }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""
"""What a browser tells a page of a file that somebody drops on it."""


@pytest.mark.models
def test_a_scene_of_a_film_plays_from_its_second(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "MVI_0001.webm").write_bytes(filmed([(20, 2.0), (220, 3.0)]))
    settings = {"tower": str(random_tower(tmp_path / "tower")), "encoder": str(random_encoder(tmp_path / "encoder"))}
    answering = graph(replies=["It is this [1]."]) | {"index": {"pictures": settings}}
    answering["nodes"]["bm25"] = {"use": "retrieve.pictures", "in": "query", "k": 3}
    build_index(tmp_path / "films", tmp_path / "idx", settings=load_spec(answering).graph.index, legs=("lexical",))
    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(answering, index=tmp_path / "idx"))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(closing(browser.new_page(viewport={"width": 390, "height": 900})))
        page.set_default_timeout(PATIENCE_MS)
        complaints = complaints_of(page)
        page.goto(server.url)
        page.get_by_label("Question").fill("a light picture")
        page.keyboard.press("Enter")
        page.locator(".source").first.click()
        player = page.locator("#passage-text .media-sound video")
        page.get_by_role("button", name="Play from").click()
        page.wait_for_function("video => video.played.length", arg=player.element_handle())  # it may have ended by now
        assert player.evaluate("video => video.videoWidth") == SIDE[0]
        told = page.get_by_role("button", name="Play from").text_content()
        assert told in ("▶ 0:00", "▶ 0:02")
        assert player.evaluate("video => video.played.start(0)") == pytest.approx(2 if told == "▶ 0:02" else 0, abs=0.1)
        keep(page, "a-scene-of-a-film")
        assert complaints == []
