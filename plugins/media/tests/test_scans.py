"""Sentences of scans are marked where OCR read them: by lines that a test gives, and by the real reader where it is installed."""

from __future__ import annotations

import hashlib
import io
from base64 import b64decode
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from plugins.media.tests.test_page import complaints_of
from plugins.serve.tests.served import served
from plugins.serve.tests.walled import client
from rag import build_index, load_pipeline
from rag.ingest import chunk, word_spans
from rag.ingest.pdf import parse
from rag.ingest.settings import ChunkSettings
from rag.ingest.types import Cell
from rag.types import Document
from ragline_media.pages.drawing import drawn, marked
from ragline_media.pages.finding import characters, scanned_lines
from ragline_serve import ServeSettings, create_app
from tests.browser import PATIENCE_MS, keep, launched
from tests.scripted_graph import graph

needs_ocr = pytest.mark.skipif(find_spec("rapidocr") is None, reason="needs the extra: pip install 'ragline[ocr]'")
DOTS = 150 / 72
LEFT, TOP, LEADING = 80, 80, 70
"""Pixels: where the first line of a scan begins, and from one to the next."""
LEAVE = [
    "Employees may carry over five days of annual",
    "leave. Ask before the thirtieth of November.",
    "Write a letter.",
]
ASKED = "Ask before the thirtieth of November."


def scanned(*pages: list[str]) -> tuple[bytes, list[list[list[Cell]]]]:
    """A PDF of pictures with these lines on them; and of each page its lines, where they stand in points."""
    font, pictures, cells = ImageFont.load_default(36), list[Image.Image](), list[list[list[Cell]]]()
    for lines in pages:
        picture = Image.new("L", (1240, 600), 255)
        cells.append([])
        for n, line in enumerate(lines):
            corner = (LEFT, TOP + LEADING * n)
            ImageDraw.Draw(picture).text(corner, line, fill=0, font=font)
            left, top, right, bottom = (
                side / DOTS for side in ImageDraw.Draw(picture).textbbox(corner, line, font=font)
            )
            cells[-1].append([Cell(left, right, top, bottom, line)])
        pictures.append(picture)
    file = io.BytesIO()
    pictures[0].save(file, "PDF", resolution=150, save_all=True, append_images=pictures[1:])
    return file.getvalue(), cells


class Given:
    """Stands where the reader of pages does, with what it is told of them."""

    def __init__(self, pages: list[list[list[Cell]]]) -> None:
        self._pages = pages

    def lines(self, number: int) -> list[list[Cell]]:
        return self._pages[number - 1]


def passages(data: bytes, pages: list[list[list[Cell]]], tokens: int = 64) -> list[Document]:
    given: Any = Given(pages)
    documents = parse(data, "a.pdf", lambda reason, **more: None, ocr=given)
    settings = ChunkSettings(tokens=tokens, overlap=0)
    return [*chain.from_iterable(chunk(each, settings=settings, spans=word_spans) for each in documents)]


def on_pages(data: bytes, passage: Document, words: str, pages: list[int]) -> list[dict[str, Any]]:
    lines = [*scanned_lines(passage)]
    asked = {"pages": pages, "words": words, "passage": passage.text, "scanned": lines}
    told = marked(data, sha256=hashlib.sha256(data).hexdigest(), **asked)
    return [page for page in told["pages"] if page["boxes"]]


def test_marks_lie_on_the_lines_of_the_sentence() -> None:
    data, cells = scanned(LEAVE)
    [passage] = passages(data, cells)
    [page] = on_pages(data, passage, ASKED, [1])
    [(left, top, right, bottom)] = page["boxes"]
    second = cells[0][1][0]
    assert (top, right, bottom) == pytest.approx(
        (second.top, second.right, second.bottom), abs=0.1 + right / len(ASKED)
    )
    font = ImageFont.load_default(36)
    begins = second.left + font.getlength("leave. ") / DOTS
    assert left == pytest.approx(begins, abs=1.5 * font.getlength("e") / DOTS), "letters are taken to be of one width"
    picture = Image.open(io.BytesIO(b64decode(drawn(data, sha256=hashlib.sha256(data).hexdigest(), page=1)["picture"])))
    ink = np.asarray(picture.convert("L")) < 128
    scale = picture.width / page["width"]
    inside = ink[int(top * scale) - 1 : int(bottom * scale) + 2, int(left * scale) - 1 : int(right * scale) + 2]
    row = ink[int(top * scale) - 1 : int(bottom * scale) + 2]
    assert 0.8 < inside.sum() / row.sum() < 1, "all but the word before"


def test_a_passage_is_marked_in_lines_on_all_of_its_pages() -> None:
    data, cells = scanned(LEAVE, ["Nothing else is said of it in here."])
    [passage] = passages(data, cells)
    first, second = on_pages(data, passage, passage.text, [1, 2])
    assert [len(page["boxes"]) for page in (first, second)] == [3, 1]
    for box, [cell] in zip([*first["boxes"], *second["boxes"]], [*cells[0], *cells[1]], strict=True):
        assert box[:2] == pytest.approx((cell.left, cell.top))
    assert on_pages(data, passage, "words that stand nowhere", [1, 2]) == []


def test_a_passage_has_its_part_of_a_line_that_two_share() -> None:
    passage = Document(
        doc_id="a#1",
        text="Two. Three",
        metadata={"start": 5, "end": 15, "ocr_lines": [[0, 9, 1, 0, 0, 90, 9], [10, 15, 1, 0, 9, 50, 18]]},
    )
    assert [*scanned_lines(passage)] == [(1, "Two.", (50, 0, 90, 9)), (1, "Three", (0, 9, 50, 18))]
    assert [*scanned_lines(Document(doc_id="b", text="Read before lines were kept.", metadata={"ocr": True}))] == []


def test_a_line_that_runs_downwards_is_parted_downwards() -> None:
    assert [*characters([(1, "休假", (0, 0, 10, 40))])] == [(1, "休", (0, 0, 10, 20)), (1, "假", (0, 20, 10, 40))]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "manuals").mkdir()
    (tmp_path / "manuals" / "leave.pdf").write_bytes(scanned(["Rules of the house"], LEAVE)[0])
    spec = {
        "version": 1,
        "index": {"reading": {"ocr": True}},
        "nodes": {"best": {"use": "retrieve.bm25", "in": "query"}},
    }
    from rag.graphs import load_spec

    settings = load_spec(spec | {"output": "best"}).graph.index
    build_index(tmp_path / "manuals", tmp_path / "idx", settings=settings, legs=("lexical",))
    return tmp_path / "idx"


@needs_ocr
def test_the_page_of_a_scan_over_http_and_in_the_browser(index: Path) -> None:
    replies = {"replies": ["Ask before the thirtieth of November [1]."]}
    with load_pipeline(graph(**replies), index=index) as pipeline:
        assert pipeline.index is not None
        [passage] = [each for each in pipeline.index.documents if ASKED[:10] in each.text]
        with client(pipeline) as asking:
            [page] = asking.post("/v1/pages", json={"id": passage.doc_id, "text": ASKED}).json()["pages"]
            [box] = page["boxes"]
            assert page["page"] == 2
            assert box["top"] < (TOP + LEADING + 18) / DOTS < box["bottom"]
            assert LEFT / DOTS + 20 < box["left"] < box["right"]
            picture = asking.get("/v1/pages/picture", params={"id": passage.doc_id, "page": 2})
            assert picture.headers["content-type"] == "image/webp"


@pytest.mark.browser
@needs_ocr
def test_a_citation_of_a_scan_opens_its_page_with_the_sentence_marked(index: Path) -> None:
    from playwright.sync_api import expect

    with ExitStack() as stack:
        replies = {"replies": ["Ask before the thirtieth of November [1]."]}
        pipeline = stack.enter_context(load_pipeline(graph(**replies), index=index))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(launched()).new_page(viewport={"width": 900, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        complaints = complaints_of(page)
        page.goto(server.url)
        page.get_by_label("Question").fill("When do I ask?")
        page.keyboard.press("Enter")
        page.locator(".cite").first.click()
        figure = page.locator(".media-page", has=page.locator(".media-mark"))
        expect(figure.locator("figcaption")).to_have_text("Page 2 of 2; marked is the sentence.")
        expect(figure.locator("img")).to_have_js_property("complete", True)
        sheet, mark = (figure.locator(each).bounding_box() for each in ("img", ".media-mark"))
        scale = sheet["width"] / 1240
        assert mark["y"] - sheet["y"] < (TOP + LEADING + 18) * scale < mark["y"] + mark["height"] - sheet["y"]
        keep(page, "page-of-a-scan")
        assert complaints == []
