"""Pages that are pictures: drawn here, read by the real reader where the extra `ocr` is installed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.core.errors import IngestError, MissingDependency
from rag.core.types import Document
from rag.indexing import build_index
from rag.ingest import Limits, Problem, Reader, SourceFile, chunk, word_spans
from rag.ingest import ocr as ocr_module
from rag.ingest.ocr import in_order, placed
from rag.ingest.pdf import parse
from rag.ingest.settings import ChunkSettings, ReadSettings
from rag.ingest.types import Block, Cell, ParsedDocument
from rag.ingest.worker import pack, unpack
from rag.pipeline import load_pipeline
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

At = Callable[..., SourceFile]
installed = find_spec("rapidocr") is not None and find_spec("pypdfium2") is not None
needs_ocr = pytest.mark.skipif(not installed, reason="needs the extra: pip install 'ragline[ocr]'")
OCR = IndexSettings(reading=ReadSettings(ocr=True))
LEAVE = ["Employees may carry over five days of annual leave.", "Ask before the thirtieth of November."]


def cell(left: float, top: float, text: str) -> Cell:
    return Cell(left, left + 8 * len(text), top, top + 20, text)


def said(cells: Sequence[Cell]) -> list[str]:
    return [" | ".join(cell.text for cell in line) for line in in_order(cells)]


def test_cells_of_a_row_are_joined_and_rows_come_from_the_top() -> None:
    cells = [cell(300, 42, "9"), cell(0, 40, "Rim"), cell(0, 5, "Part"), cell(300, 0, "Price"), cell(0, 80, "Hub")]
    assert said(cells) == ["Part | Price", "Rim | 9", "Hub"]
    assert in_order([]) == []


def test_columns_of_prose_are_read_one_after_the_other() -> None:
    wide = "a line of prose that is as wide as its column"
    cells = [cell(200, 0, "A heading over both of the columns, and so in the middle")]
    cells += [cell(x, 40 + 30 * n, f"{wide} {x} {n}") for n in range(3) for x in (0, 500)]
    heading, *rest = said(cells)
    assert heading.startswith("A heading")
    assert rest == [f"{wide} {x} {n}" for x in (0, 500) for n in range(3)]


@pytest.mark.parametrize(
    ("text", "lines", "stand"),
    [
        ("Paid annual leave is long.", ["Paid annual lea-", "ve is long."], ["Paid annual lea", "ve is long"]),
        ("Rim | 9; Hub | 9", ["Rim", "9", "Hub", "9"], ["Rim", "9", "Hub", "9"]),
        ("One is here.\nTwo.", ["Handbook of 2031", "7", "One is here.", "Two.", "Page 8"], ["One is here", "Two"]),
        ("Chapter One\nThe text below it.", ["1. Chapter One", "The text below it."], ["The text below it"]),
        (
            "The Rules\nA line that is long.\n7",
            ["Rules, The", "A line that is long.", "7"],
            ["A line that is long", "7"],
        ),
        ("— | …", ["—", "…"], []),
    ],
)
def test_each_cell_is_found_in_the_text_that_was_made_of_them(text: str, lines: list[str], stand: list[str]) -> None:
    cells = [cell(0, 30 * n, line) for n, line in enumerate(lines)]
    found = [*placed(text, cells)]
    assert [text[first:last] for first, last, _ in found] == stand
    assert all(each.text.startswith(line) for (_, _, each), line in zip(found, stand, strict=True))


class Given:
    """Reads pages of which it was told what stands on them."""

    def __init__(self, *pages: Sequence[Cell]) -> None:
        self._pages = pages

    def lines(self, number: int) -> list[list[Cell]]:
        return in_order(self._pages[number - 1])


def test_passages_keep_the_boxes_of_their_lines(pdf: Callable[..., bytes], notes: Any) -> None:
    first = ["Employees may carry over five days of annual leave. Ask", "before the thirtieth of November, in writing."]
    pages = [[cell(30, 40 + 30 * n, line) for n, line in enumerate(lines)] for lines in (first, ["Nothing else."])]
    given: Any = Given(pages[0], [], pages[1])
    [parsed] = parse(pdf([[], ["A page with text of its own."], []]), "a.pdf", notes, ocr=given)
    document = unpack(json.loads(json.dumps(pack(parsed))))
    assert document == parsed
    units = chunk(document, settings=ChunkSettings(tokens=16, overlap=0), spans=word_spans)
    lines = [[(place(unit, *line[:2]), *line[2:]) for line in unit.metadata.get("ocr_lines", [])] for unit in units]
    one, two = [(1, each.left, each.top, each.right, each.bottom) for each in pages[0]]
    assert [unit.text for unit in units][:2] == [f"{first[0][:-4]}", f"Ask {first[1]}"]
    assert lines[0] == [(first[0][:-4].rstrip("."), *one)]
    assert lines[1] == [("Ask", *one), (first[1].rstrip("."), *two)]
    assert [line for line in lines[2:] if line] == [[("Nothing else", 3, 30, 40, 134, 60)]]


def place(unit: Document, first: int, last: int) -> str:
    """What of a line stands in a passage."""
    start = unit.metadata["start"]
    return unit.text[max(0, first - start) : last - start].rstrip(".")


def test_a_long_scan_that_comes_in_stretches_keeps_its_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    from rag.ingest import stretches

    monkeypatch.setattr(stretches, "BLOCKS", 2)
    text = "One.\n\nTwo.\n\nThree."
    spans = [(0, 4), (6, 10), (12, 18)]
    blocks = tuple(Block(start=start, end=end, page=1, ocr=True) for start, end in spans)
    boxes = tuple((start, end, 1, 0.0, 9.0 * n, 9.0, 9.0 * n + 9) for n, (start, end) in enumerate(spans))
    whole = ParsedDocument(doc_id="a", title="", text=text, blocks=blocks, boxes=boxes)
    cut = [*stretches.stretched([whole])]
    assert [len(each.boxes) for each in cut] == [2, 1]
    assert [*stretches.joined(cut)] == [whole]
    [unit] = chunk(cut[1], settings=ChunkSettings(), spans=word_spans)
    assert unit.metadata["ocr_lines"] == [[*boxes[2]]]


@pytest.mark.skipif(installed, reason="the extra is installed")
def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A wheel is round.")
    with pytest.raises(MissingDependency, match=r"reading pictures of pages \(ocr\) needs \w+, .*ocr"):
        build_index(tmp_path / "a.txt", tmp_path / "index", settings=OCR, legs=["lexical"])
    assert not (tmp_path / "index" / "CURRENT").exists()


def scan(pages: Sequence[Sequence[str]]) -> bytes:
    """A PDF of pictures with these lines on them."""
    from PIL import Image, ImageDraw, ImageFont

    font, pictures = ImageFont.load_default(36), []
    for lines in pages:
        picture = Image.new("L", (1240, 600), 255)
        for n, line in enumerate(lines):
            ImageDraw.Draw(picture).text((80, 80 + 70 * n), line, fill=0, font=font)
        pictures.append(picture)
    file = io.BytesIO()
    pictures[0].save(file, "PDF", resolution=150, save_all=True, append_images=pictures[1:])
    return file.getvalue()


@needs_ocr
def test_a_scanned_page_is_found_by_its_words_once_it_is_asked_for(tmp_path: Path) -> None:
    source, index = tmp_path / "docs", tmp_path / "index"
    source.mkdir()
    (source / "leave.pdf").write_bytes(scan([LEAVE, []]))
    (source / "wheel.txt").write_text("A wheel is round.")
    without = build_index(source, index, legs=["lexical"])
    assert [str(problem) for problem in without.problems] == [
        "docs/leave.pdf: no text on any page; it looks scanned: index it with --ocr"
    ]
    read = build_index(source, index, settings=OCR)
    assert [str(problem) for problem in read.problems] == ["docs/leave.pdf: page 2 has no text: a scan?"]
    with load_pipeline("bm25", index=index) as pipeline:
        (hit,) = pipeline.search("annual leave carry over", k=1).hits
    assert hit.document.text == " ".join(LEAVE) or hit.document.text == "\n".join(LEAVE)
    assert (hit.document.metadata["page"], hit.document.metadata["ocr"]) == (1, True)
    lines = [
        (page, [round(150 / 72 * side) for side in box]) for _, _, page, *box in hit.document.metadata["ocr_lines"]
    ]
    assert [page for page, _ in lines] == [1, 1]
    for n, (_, (left, top, right, bottom)) in enumerate(lines):
        assert abs(left - 80) < 12, "pixels of the picture that was scanned"
        assert 60 + 70 * n < top < 80 + 70 * n + 18 < bottom < 80 + 70 * n + 60
        assert 500 < right < 1200
    assert build_index(source, index).unchanged, "an index that is read so stays so"
    assert build_index(source, index, settings=IndexSettings(), most_lost=1.0).n_files == 1


@needs_ocr
def test_what_a_file_without_pictures_gave_is_read_again_when_pictures_are_asked_for(
    tmp_path: Path, pdf: Callable[..., bytes]
) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf([["First page."]]))
    (tmp_path / "b.txt").write_text("A wheel is round.")
    build_index(tmp_path, tmp_path / "index", legs=["lexical"])
    report = build_index(tmp_path, tmp_path / "index", settings=OCR)
    assert report.n_reused_files == 1, "the text alone"
    with LocalIndex.open(tmp_path / "index") as index:
        assert index.manifest.settings.reading.ocr


@needs_ocr
def test_text_beside_pictures_is_not_marked(tmp_path: Path, at: At, pdf: Callable[..., bytes]) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter()
    for data in (pdf([["First page. It has text of its own."]]), scan([LEAVE])):
        for page in PdfReader(io.BytesIO(data)).pages:
            writer.add_page(page)
    writer.write(tmp_path / "a.pdf")
    with Reader(ocr=True) as reader:
        (document,) = reader.read(at(tmp_path / "a.pdf"))
    assert (document.blocks[0].page, document.blocks[0].ocr) == (1, False)
    assert {block.ocr for block in document.blocks if block.page == 2} == {True}
    units = chunk(document, settings=ChunkSettings(tokens=16, overlap=0), spans=word_spans)
    assert [unit.metadata.get("ocr") for unit in units if unit.metadata["page"] == 1] == [None]


@needs_ocr
def test_pages_are_bounded_and_the_rest_is_told(tmp_path: Path, at: At) -> None:
    (tmp_path / "a.pdf").write_bytes(scan([LEAVE, LEAVE, LEAVE]))
    told: list[Problem] = []
    with Reader(ocr=True, limits=Limits(ocr_pages=1), report=told.append) as reader:
        (document,) = reader.read(at(tmp_path / "a.pdf"))
    assert {block.page for block in document.blocks} == {1}
    assert [problem.reason for problem in told] == ["2 pages have no text: scans? Pages 2, 3"]


@needs_ocr
def test_each_page_has_time_of_its_own(tmp_path: Path, at: At) -> None:
    (tmp_path / "a.pdf").write_bytes(scan([LEAVE] * 3))
    with (
        Reader(ocr=True, limits=Limits(seconds=0.01, ocr_seconds=0.01)) as reader,
        pytest.raises(IngestError, match=r"a.pdf: not parsed within 0.0\d s"),
    ):
        reader.read(at(tmp_path / "a.pdf"))
    with Reader(ocr=True, limits=Limits(seconds=2, ocr_seconds=60)) as reader:
        assert len({block.page for block in reader.read(at(tmp_path / "a.pdf"))[0].blocks}) == 3


@needs_ocr
def test_a_picture_without_words_is_still_named(tmp_path: Path, at: At) -> None:
    (tmp_path / "a.pdf").write_bytes(scan([[]]))
    with Reader(ocr=True) as reader, pytest.raises(IngestError, match="no text on any page, and OCR found none"):
        reader.read(at(tmp_path / "a.pdf"))


@needs_ocr
def test_nothing_is_fetched_where_weights_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import rapidocr

    (tmp_path / "models").mkdir()
    monkeypatch.setattr(rapidocr, "__file__", str(tmp_path / "__init__.py"))
    ocr_module._engine.cache_clear()
    with pytest.raises(ocr_module.ReadError, match="without its weights"):
        ocr_module._engine()


@needs_ocr
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "leave.pdf").write_bytes(scan([LEAVE]))
    where = ["--index", str(tmp_path / "index"), "--graph", "bm25"]
    assert main(["index", str(tmp_path / "leave.pdf"), *where, "--ocr"]) == 0
    assert main(["search", "annual leave", *where]) == 0
    assert "page 1 (read by OCR)" in capsys.readouterr().out
