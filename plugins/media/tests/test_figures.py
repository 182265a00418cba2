"""Pictures that stand in documents: each is found by the text around it, and shown with its page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import pytest
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, NumberObject

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from plugins.media.tests.printed import HEIGHT, LEADING, TOP, printed
from plugins.media.tests.tabled import packed
from rag import build_index, load_pipeline, remove_from_index
from rag.core.errors import IngestError
from rag.graphs import load_spec
from rag.indexes import LocalIndex, contents_of
from rag.ingest import Limits, SourceFile
from rag.reading import Beside, ParsedDocument, Reader, ReadError
from ragline_media.figures import documents as documents_module
from ragline_media.figures import docx as docx_figures
from ragline_media.figures import pdf as pdf_figures
from ragline_media.figures import pptx as pptx_figures

DISC, FRAME, CROSS, GREEN = (each.picture(120) for each in drawings(1)[:4])


def read(module: Any, data: bytes) -> tuple[list[ParsedDocument], list[str]]:
    notes = list[str]()
    found = module.figures(data, "a/manual.x", lambda reason, lost=False: notes.append(reason), Beside())
    return [*found], notes


def told(documents: list[ParsedDocument]) -> list[tuple[str, str, int | None]]:
    return [(each.doc_id, each.text, each.metadata.get("page")) for each in documents]


def word() -> bytes:
    """Two pictures, one of them twice, an icon, and one of a format that nobody draws."""
    made = docx.Document()
    made.add_paragraph("The pump stands in the cellar.")
    alt = made.add_picture(io.BytesIO(encoded(DISC)))
    alt._inline.docPr.set("descr", "A pump seen from above.")
    made.add_paragraph("Figure 1: The pump and its valve.")
    made.add_paragraph("Open the valve before the pump is started.")
    made.add_picture(io.BytesIO(encoded(FRAME)))
    made.add_paragraph("Nothing is said of it here.")
    made.add_picture(io.BytesIO(encoded(DISC)))
    made.add_picture(io.BytesIO(encoded(Image.new("RGB", (16, 16), "red"))))
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def test_pictures_of_a_word_file() -> None:
    found, notes = read(docx_figures, word())
    assert told(found) == [
        ("a/manual.x@figure1", "A pump seen from above. Figure 1: The pump and its valve.", None),
        ("a/manual.x@figure2", "Open the valve before the pump is started.", None),
    ]
    assert notes == []
    [(_, content)] = found[0].contents
    assert Image.open(io.BytesIO(found[0].kept[0].data)).size == DISC.size
    assert (content.kind, content.sha256) == ("picture", found[0].kept[0].sha256)
    assert found[0].metadata["parent"] == "a/manual.x", "a passage of the document: what happens to that happens to it"


OFFICE = "http://schemas.openxmlformats.org"
NAMES = " ".join(
    f'xmlns:{short}="{OFFICE}/{long}"'
    for short, long in (
        ("a", "drawingml/2006/main"),
        ("p", "presentationml/2006/main"),
        ("r", "officeDocument/2006/relationships"),
    )
)


def related(*targets: str) -> str:
    each = "".join(f"<Relationship {target}/>" for target in targets)
    return f'<Relationships xmlns="{OFFICE}/package/2006/relationships">{each}</Relationships>'


def slide(words: str, *pictures: tuple[str, str]) -> str:
    drawn = "".join(
        f'<p:pic><p:nvPicPr><p:cNvPr id="2" name="x" descr="{alt}"/></p:nvPicPr>'
        f'<p:blipFill><a:blip r:embed="{target}"/></p:blipFill></p:pic>'
        for alt, target in pictures
    )
    said = f"<p:sp><p:txBody><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:txBody></p:sp>"
    return f"<p:sld {NAMES}><p:cSld><p:spTree>{said}{drawn}</p:spTree></p:cSld></p:sld>"


def slides() -> bytes:
    """Two slides, shown in the other order than their files are named in."""
    listed = '<p:sldIdLst><p:sldId id="1" r:id="r2"/><p:sldId id="2" r:id="r1"/></p:sldIdLst>'
    drawing = 'Id="p2" Target="../media/image2.emf"'
    outside = 'Id="p3" Target="file:///etc/passwd" TargetMode="External"'
    parts = {
        "presentation.xml": f"<p:presentation {NAMES}>{listed}</p:presentation>",
        "_rels/presentation.xml.rels": related(*(f'Id="r{n}" Target="slides/slide{n}.xml"' for n in (1, 2))),
        "slides/slide1.xml": slide("Sales of the year", ("A chart.", "p1"), ("A drawing", "p2")),
        "slides/_rels/slide1.xml.rels": related('Id="p1" Target="../media/image1.png"', drawing),
        "slides/slide2.xml": slide("Welcome", ("", "p1"), ("outside", "p3"), ("nowhere", "p9")),
        "slides/_rels/slide2.xml.rels": related('Id="p1" Target="../media/image3.png"', outside),
        "media/image1.png": encoded(CROSS),
        "media/image2.emf": b"\1\0\0\0 a drawing",
        "media/image3.png": encoded(GREEN),
    }
    return packed({f"ppt/{name}": data for name, data in parts.items()})


def deck(*slides: str) -> bytes:
    """Slides without pictures, in order."""
    listed = "".join(f'<p:sldId id="{n}" r:id="r{n}"/>' for n in range(len(slides)))
    parts = {
        "presentation.xml": f"<p:presentation {NAMES}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
        "_rels/presentation.xml.rels": related(
            *(f'Id="r{n}" Target="slides/slide{n}.xml"' for n in range(len(slides)))
        ),
        **{f"slides/slide{n}.xml": each for n, each in enumerate(slides)},
    }
    return packed({f"ppt/{name}": data for name, data in parts.items()})


def test_pictures_of_slides_by_the_order_in_which_they_are_shown() -> None:
    found, notes = read(pptx_figures, slides())
    assert told(found) == [
        ("a/manual.x@figure1", "Welcome", 1),
        ("a/manual.x@figure2", "A chart. Sales of the year", 2),
    ]
    assert notes == ["1 pictures in it are of a format that is not read here, too large or damaged"]


def pdf(*, whole: bool = False) -> bytes:
    """A page of text with a picture below the third line and a caption below that."""
    lines = [
        "The pump stands in the cellar.",
        "It has one valve.",
        "Open it first.",
        *[""] * 12,
        "Figure 1: the valve of the pump.",
    ]
    document = pypdfium2.PdfDocument(printed([lines, ["Nothing is drawn here."]]))
    page = document[0]
    image = pypdfium2.PdfImage.new(document)
    image.set_bitmap(pypdfium2.PdfBitmap.from_pil(DISC))
    across, down = (page.get_width(), HEIGHT) if whole else (150, 150)
    image.set_matrix(
        pypdfium2.PdfMatrix()
        .scale(across, down)
        .translate(0 if whole else 60, 0 if whole else HEIGHT - TOP - 14 * LEADING)
    )
    page.insert_obj(image)
    page.gen_content()
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def test_a_picture_of_a_pdf_has_the_words_below_it_and_its_page() -> None:
    found, notes = read(pdf_figures, pdf())
    assert told(found) == [("a/manual.x@figure1", "Figure 1: the valve of the pump.", 1)]
    assert notes == []
    seen = Image.open(io.BytesIO(found[0].kept[0].data)).convert("RGB")
    assert seen.size == DISC.size
    assert seen.getpixel((60, 60)) == DISC.getpixel((60, 60))


def test_a_scan_of_a_page_is_no_figure() -> None:
    assert read(pdf_figures, pdf(whole=True)) == ([], [])


def test_what_cannot_be_opened_is_told() -> None:
    with pytest.raises(ReadError, match="it cannot be opened"):
        read(pdf_figures, b"%PDF-1.4 and no more")
    for module in (docx_figures, pptx_figures):
        with pytest.raises(ReadError, match="not a zip archive"):
            read(module, b"PK but no zip")


def test_there_is_an_end_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "MOST", 1)
    found, notes = read(docx_figures, word())
    assert (len(found), notes) == (1, ["more than 1 pictures or tables in it: the others are left out"])


def built(folder: Path, *, figures: bool, models: dict[str, str]) -> Any:
    nodes = {"best": {"use": "retrieve.bm25", "in": "query", "k": 5}}
    reading = {"reading": {"figures": True}} if figures else {}
    spec = load_spec({"version": 1, "index": {"pictures": models, **reading}, "nodes": nodes, "output": "best"})
    return build_index(folder / "manuals", folder / "idx", settings=spec.graph.index, legs=("lexical",))


@pytest.fixture
def home(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    (tmp_path / "manuals").mkdir()
    (tmp_path / "manuals" / "pump.docx").write_bytes(word())
    (tmp_path / "manuals" / "valve.pdf").write_bytes(pdf())
    models = {"tower": str(random_tower(tmp_path / "tower")), "encoder": str(random_encoder(tmp_path / "encoder"))}
    return tmp_path, models


def test_an_index_that_asks_for_figures_finds_them_by_their_words(home: tuple[Path, dict[str, str]]) -> None:
    folder, models = home
    assert built(folder, figures=True, models=models).legs == ("lexical", "pictures")
    with load_pipeline("bm25", index=folder / "idx") as pipeline:
        assert "manuals/valve.pdf@figure1" in pipeline.search("the valve of the pump").doc_ids
        [hit] = [hit for hit in pipeline.search("seen from above").hits if hit.document.contents]
        assert (hit.doc_id, hit.document.parent) == ("manuals/pump.docx@figure1", "manuals/pump.docx")
    with LocalIndex.open(folder / "idx") as opened:
        assert len([*contents_of(opened)]) == 3
    remove_from_index(["manuals/pump.docx"], folder / "idx", rewrite=True, most_lost=1.0)
    with LocalIndex.open(folder / "idx") as opened:
        assert {each.parent for each in opened.documents} == {"manuals/valve.pdf"}
        assert len([*contents_of(opened)]) == 1, "what its document loses, it loses"


def test_an_index_that_does_not_ask_has_none_and_is_built_again_when_it_does(home: tuple[Path, dict[str, str]]) -> None:
    folder, models = home
    assert built(folder, figures=False, models=models).legs == ("lexical",)
    with LocalIndex.open(folder / "idx") as opened:
        assert not any(each.contents for each in opened.documents)
        assert "figures" not in str(opened.manifest.settings.reading.model_dump())
    report = built(folder, figures=True, models=models)
    assert (report.legs, report.counts["pictures"]) == (("lexical", "pictures"), {"n_seen": 3})


def heavy(side: int) -> bytes:
    """A page of text with a picture of one bit a pixel, as wide and high as `side`: small on the disk, large in memory."""
    document = PdfWriter(io.BytesIO(printed([["The pump stands in the cellar."], ["It has one valve."]])))
    picture = DecodedStreamObject()
    picture.set_data(bytes((side + 7) // 8 * side))
    names = {
        "/Type": NameObject("/XObject"),
        "/Subtype": NameObject("/Image"),
        "/ColorSpace": NameObject("/DeviceGray"),
    }
    sizes = {"/Width": side, "/Height": side, "/BitsPerComponent": 1}
    image = picture.flate_encode()
    image.update({NameObject(key): value for key, value in names.items()})
    image.update({NameObject(key): NumberObject(value) for key, value in sizes.items()})
    drawn = DecodedStreamObject()
    drawn.set_data(b"q 200 0 0 200 60 300 cm /I0 Do Q")
    page = document.pages[1]
    page["/Resources"][NameObject("/XObject")] = DictionaryObject({NameObject("/I0"): document._add_object(image)})
    page[NameObject("/Contents")] = ArrayObject([page.raw_get("/Contents"), document._add_object(drawn)])
    file = io.BytesIO()
    document.write(file)
    return file.getvalue()


def through_the_process(folder: Path, data: bytes, **limits: int) -> tuple[list[ParsedDocument], list[str]]:
    """What a file gives where it is read as a build reads it: in a process that is bounded."""
    (folder / "a.pdf").write_bytes(data)
    told, kept = list[str](), list[str]()
    file = SourceFile(path=folder / "a.pdf", name="a.pdf", size=len(data))
    with Reader(
        limits=Limits(**limits),
        report=lambda problem: told.append(problem.reason),
        figures=True,
        keep=lambda sha256, data, small: kept.append(sha256),
    ) as reader:
        return reader.read(file), told


def test_a_picture_of_too_many_pixels_leaves_the_text_and_is_told(tmp_path: Path) -> None:
    [document], told = through_the_process(tmp_path, heavy(20_000))
    assert "The pump stands in the cellar." in document.text
    assert told == ["1 pictures in it are of a format that is not read here, too large or damaged"]


def test_a_picture_that_memory_is_too_small_for_leaves_the_text_and_is_told(tmp_path: Path) -> None:
    """As many pixels as are read, in a process that has no room for them."""
    found, told = through_the_process(tmp_path, heavy(7_900), memory_bytes=600_000_000)
    assert [each.doc_id for each in found] == ["a.pdf"]
    assert "It has one valve." in found[0].text
    assert len(told) == 1
    assert "picture" in told[0]


def test_what_cannot_be_opened_for_its_pictures_keeps_its_text(tmp_path: Path) -> None:
    document, told = through_the_process(tmp_path, printed([["The pump stands in the cellar."]]))
    assert (len(document), told) == (1, [])
    with pytest.raises(IngestError, match=r"a\.pdf: "):
        through_the_process(tmp_path, b"%PDF-1.4 and no more")
