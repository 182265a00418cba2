"""Pages that are pictures: drawn here, read by the real reader where the extra `ocr` is installed."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from rag.cli import main
from rag.core.errors import IngestError, MissingDependency
from rag.indexing import build_index
from rag.ingest import Limits, Problem, Reader, SourceFile, chunk, word_spans
from rag.ingest import ocr as ocr_module
from rag.ingest.ocr import Cell, in_order
from rag.ingest.settings import ChunkSettings, ReadSettings
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


def test_cells_of_a_row_are_joined_and_rows_come_from_the_top() -> None:
    cells = [cell(300, 42, "9"), cell(0, 40, "Rim"), cell(0, 5, "Part"), cell(300, 0, "Price"), cell(0, 80, "Hub")]
    assert in_order(cells) == ["Part | Price", "Rim | 9", "Hub"]
    assert in_order([]) == []


def test_columns_of_prose_are_read_one_after_the_other() -> None:
    wide = "a line of prose that is as wide as its column"
    cells = [cell(200, 0, "A heading over both of the columns, and so in the middle")]
    cells += [cell(x, 40 + 30 * n, f"{wide} {x} {n}") for n in range(3) for x in (0, 500)]
    heading, *rest = in_order(cells)
    assert heading.startswith("A heading")
    assert rest == [f"{wide} {x} {n}" for x in (0, 500) for n in range(3)]


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
