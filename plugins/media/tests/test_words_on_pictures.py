"""What stands on a picture is read where OCR is asked for: by lines that a test gives, and by the real reader where it is there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from plugins.media.tests.test_page import complaints_of
from plugins.serve.tests.served import served
from rag import build_index, load_pipeline
from rag.graphs import load_spec
from rag.indexes import LocalIndex
from rag.ingest.types import Cell
from rag.reading import Beside, ParsedDocument
from ragline_media.reading.picture import parse
from ragline_serve import ServeSettings, create_app
from tests.browser import PATIENCE_MS, keep, launched
from tests.scripted_graph import graph

needs_ocr = pytest.mark.skipif(find_spec("rapidocr") is None, reason="needs the extra: pip install 'ragline[ocr]'")
SIGN = ["Opening hours", "Monday to Friday 9 to 17", "Closed in the whole of August"]
LEADING = 120


def sign() -> Image.Image:
    picture = Image.new("RGB", (900, 500), (20, 60, 110))
    for number, line in enumerate(SIGN):
        ImageDraw.Draw(picture).text((60, 60 + LEADING * number), line, fill="white", font=ImageFont.load_default(44))
    return picture


def read(picture: Image.Image, lines: Any, caption: str = "") -> tuple[ParsedDocument, list[tuple[str, bool]]]:
    notes = list[tuple[str, bool]]()
    beside = Beside(caption=caption, lines=lines)
    [document] = parse(encoded(picture), "a.png", lambda reason, lost=False: notes.append((reason, lost)), beside)
    return document, notes


def test_lines_stand_behind_the_caption_each_with_its_place() -> None:
    shapes = list[Any]()

    def lines(picture: Any) -> Sequence[Sequence[Cell]]:
        shapes.append((picture.shape, picture[0, 0].tolist()))
        return [
            [Cell(0, 30, 0, 10, "Rim"), Cell(60, 130, 0, 10, "9 €")],
            [Cell(0, 60, 45, 50, " ")],
            [Cell(0, 60, 45, 60, "Hub")],
        ]

    document, notes = read(Image.new("RGBA", (120, 50), (0, 0, 0, 0)), lines, "A price list.")
    assert document.text == "A price list.\n\nRim | 9 €\n\nHub"
    [(_, content)] = document.contents
    assert content.text == "A price list."
    places = [(document.text[start:end], *box) for start, end, *box in content.metadata["lines"]]
    assert places == [("Rim", 0, 0, 250, 200), ("9 €", 500, 0, 1000, 200), ("Hub", 0, 900, 500, 1000)]
    assert [(document.text[each.start : each.end], each.ocr) for each in document.blocks] == [
        ("A price list.", False),
        ("Rim | 9 €\n\nHub", True),
    ]
    assert (document.metadata["ocr"], notes) == (True, [])
    assert shapes == [((50, 120, 3), [255, 255, 255])], "what is seen through lies upon white"


def test_lines_of_prose_go_on_and_those_of_a_sign_stand_for_themselves() -> None:
    widths = [
        ("Employees may carry over", 400, 0),
        ("five days of annual leave", 390, 24),
        ("a year.", 90, 48),
        ("Page 7", 80, 190),
    ]
    rows = [[Cell(0, width, top, top + 20, text)] for text, width, top in widths]
    document, _ = read(Image.new("RGB", (400, 220)), lambda picture: rows)
    assert document.text == "Employees may carry over\nfive days of annual leave\na year.\n\nPage 7"


@pytest.mark.parametrize("rows", [[], [[Cell(0, 9, 0, 9, "I")], [Cell(0, 9, 9, 18, "O")]]])
def test_a_window_frame_is_no_word(rows: Any) -> None:
    document, _ = read(drawings(1)[0].picture(), lambda picture: rows, "A window.")
    assert (document.text, "ocr" in document.metadata) == ("A window.", False)
    assert "lines" not in document.contents[0][1].metadata


def test_a_reader_that_gives_up_costs_its_words_alone() -> None:
    def lines(picture: Any) -> Any:
        raise ValueError("no such thing")

    document, notes = read(drawings(1)[0].picture(), lines, "A disc.")
    assert document.text == "A disc."
    assert notes == [("OCR gave up: ValueError: no such thing", True)]


def built(folder: Path, path: Path, *, ocr: bool) -> Any:
    models = {"tower": str(random_tower(folder / "tower")), "encoder": str(random_encoder(folder / "encoder"))}
    spec = load_spec(
        {
            "version": 1,
            "index": {"reading": {"ocr": ocr}, "pictures": models},
            "nodes": {"best": {"use": "retrieve.bm25", "in": "query"}},
            "output": "best",
        }
    )
    return build_index(folder / "photos", path, settings=spec.graph.index, legs=("lexical",))


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "IMG_0001.png").write_bytes(encoded(sign()))
    (tmp_path / "photos" / "IMG_0002.png").write_bytes(encoded(drawings(1)[0].picture()))
    assert built(tmp_path, tmp_path / "idx", ocr=True).problems == ()
    return tmp_path / "idx"


@needs_ocr
def test_a_sign_is_found_by_its_words_and_a_picture_without_any_has_none(index: Path) -> None:
    with load_pipeline("bm25", index=index) as pipeline:
        assert pipeline.search("closed in August").doc_ids == ("photos/IMG_0001.png",)
    with LocalIndex.open(index) as opened:
        texts = {each.doc_id: each.text for each in opened.documents}
    assert texts == {"photos/IMG_0001.png": "\n\n".join(SIGN), "photos/IMG_0002.png": ""}


def test_without_being_asked_nobody_reads_a_picture(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "IMG_0001.png").write_bytes(encoded(sign()))
    built(tmp_path, tmp_path / "idx", ocr=False)
    with LocalIndex.open(tmp_path / "idx") as opened:
        assert [each.text for each in opened.documents] == [""]


@pytest.mark.browser
@needs_ocr
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (900, "dark"), (390, "light")])
def test_a_citation_marks_the_line_on_the_picture(index: Path, width: int, scheme: Any) -> None:
    from playwright.sync_api import expect

    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(graph(replies=[f"{SIGN[2]} [1]."]), index=index))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(launched()).new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(PATIENCE_MS)
        complaints = complaints_of(page)
        page.goto(server.url)
        page.get_by_label("Question").fill("When is it closed in August?")
        page.keyboard.press("Enter")
        page.locator(".cite").first.click()
        figure = page.locator("#passage-text .media-picture")
        expect(figure.locator("img")).to_have_js_property("naturalWidth", 320)
        expect(figure.locator(".media-mark")).to_have_count(1)
        for naturally in (320, 900):
            expect(figure.locator("img")).to_have_js_property("naturalWidth", naturally)
            sheet, mark = (figure.locator(each).last.bounding_box() for each in ("img", ".media-mark"))
            middle = (mark["y"] + mark["height"] / 2 - sheet["y"]) / sheet["height"]
            assert middle == pytest.approx((60 + 2 * LEADING + 26) / 500, abs=0.04)
            assert mark["x"] - sheet["x"] == pytest.approx(60 / 900 * sheet["width"], abs=0.03 * sheet["width"])
            figure.get_by_role("button").click()
        keep(page, f"sign-{width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is wider than the page"
        assert complaints == []
