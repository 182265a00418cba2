"""Pages: where words stand on them, by characters and by points, and what a hostile file gets."""

from __future__ import annotations

import hashlib
import io
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from plugins.media.tests.printed import HEIGHT, LEFT, SIZE, WIDTH, baseline, printed
from rag.ingest import Limits
from rag.reading import Reader, ReadError
from ragline_media.pages.drawing import drawn, lines_of, marked
from ragline_media.pages.finding import found

LEAVE = ["Rules of the house", "Paid leave is thirty days a", "year for all of us.", "Paid leave is paid."]


def spans(words: str, text: str, passage: str = "") -> list[str]:
    return [text[first:last] for first, last in found(words, text, passage=passage)]


@pytest.mark.parametrize(
    ("words", "text", "stands"),
    [
        ("Paid leave is thirty days.", "Rules\r\nPaid  leave is\r\nthirty days. More", "Paid  leave is\r\nthirty days"),
        (
            "The hyphenated word",
            "a hy\ufffephen\u00ad\r\nated word: the hyphen-\r\nated word",
            "the hyphen-\r\nated word",
        ),
        ("five café tables | 12", "ﬁve cafe\u0301\r\ntables  12 ", "ﬁve cafe\u0301\r\ntables  12"),
        ("带薪休假三十天", "第一条 带薪休假\n三十天。", "带薪休假\n三十天"),
    ],
)
def test_letters_and_digits_decide(words: str, text: str, stands: str) -> None:
    assert spans(words, text) == [stands]


def test_of_several_places_the_one_with_the_same_words_around_is_taken() -> None:
    text = "Of trains: ask first. Of planes: ask first. Of ships: ask first."
    passage = "Of planes: ask first. Of"
    [(first, last)] = found("ask first.", text, passage=passage)
    assert (first, last) == (text.index("planes: ") + len("planes: "), text.index(". Of ships"))


def test_a_foot_between_two_pages_is_left_out() -> None:
    text = "and paid leave is thirty days\nHandbook 2031, page 7\nof every single year. More."
    assert spans("Paid leave is thirty days of every single year.", text) == [
        "paid leave is thirty days",
        "of every single year",
    ]


def test_a_passage_is_found_sentence_by_sentence() -> None:
    text = "One is here. page 3 Two is there. Three is not."
    assert spans("One is here. Two is there.", text, "One is here. Two is there.") == ["One is here", "Two is there"]


@pytest.mark.parametrize("words", ["", " .,", "something else entirely stands here", "x" * 5_000])
def test_what_does_not_stand_there_is_not_marked(words: str) -> None:
    assert found(words, "Paid leave is thirty days a year.", passage="") == []


def placed(data: bytes, words: str, **more: object) -> list[dict[str, object]]:
    sha256 = hashlib.sha256(data).hexdigest()
    return marked(data, sha256=sha256, pages=[1, 2, 3], words=words, passage="", **more)["pages"]  # type: ignore[arg-type]


def test_boxes_are_lines_of_the_sentence_in_points() -> None:
    [page] = placed(printed([LEAVE]), "Paid leave is thirty days a year for all of us.")
    assert (page["page"], page["width"], page["height"]) == (1, WIDTH, HEIGHT)
    first, second = page["boxes"]  # type: ignore[misc]
    for (left, top, right, bottom), line in ((first, 1), (second, 2)):
        assert left == pytest.approx(LEFT, abs=1)
        assert top < baseline(line) - 0.7 * SIZE < baseline(line) <= bottom < baseline(line) + 0.5 * SIZE
        assert bottom - top < 1.5 * SIZE
        assert left < right < WIDTH / 2


def test_a_sentence_over_two_pages_is_marked_on_both() -> None:
    first, second = placed(printed([LEAVE[:2], LEAVE[2:]]), "Paid leave is thirty days a year for all of us.")
    assert (len(first["boxes"]), len(second["boxes"])) == (1, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rotate", "crop"), [(0, 0), (90, 0), (180, 0), (270, 0), (0, 40), (90, 40)])
def test_marks_lie_on_the_ink_however_a_page_is_turned_and_cut(rotate: int, crop: int) -> None:
    """In the picture, the darkest pixels are inside the boxes of the only line, and all outside is white."""
    data = printed([["Paid leave"]], rotate=rotate, crop=crop)
    [page] = placed(data, "Paid leave")
    sha256 = hashlib.sha256(data).hexdigest()
    picture = Image.open(io.BytesIO(b64decode(drawn(data, sha256=sha256, page=1)["picture"]))).convert("L")
    scale = picture.width / page["width"]  # type: ignore[operator]
    [(left, top, right, bottom)] = page["boxes"]  # type: ignore[misc]
    ink = np.asarray(picture) < 128
    inside = ink[int(top * scale) - 2 : int(bottom * scale) + 3, int(left * scale) - 2 : int(right * scale) + 3]
    assert ink.sum() > 100
    assert inside.sum() == ink.sum()
    assert picture.width / picture.height == pytest.approx(page["width"] / page["height"], rel=0.01)  # type: ignore[operator]


def test_columns_are_two_stretches() -> None:
    assert lines_of([(0, 0, 9, 10), (9, 0, 18, 10), (90, 0, 99, 10), (99, 0, 99, 10)]) == [
        (0, 0, 18, 10),
        (90, 0, 99, 10),
    ]


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(limits=Limits(seconds=4.0, memory_bytes=1_500_000_000)) as made:
        yield made


def asked(reader: Reader, folder: Path, data: bytes, *, page: int = 1) -> bytes:
    (folder / "a.pdf").write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    made = reader.call("ragline_media.pages.drawing:drawn", folder / "a.pdf", sha256=sha256, page=page)
    return b64decode(made["picture"])


def laughing(levels: int = 9) -> bytes:
    """A page that draws a form ten times, which draws one ten times, and so on."""
    writer = PdfWriter()
    page, inner = writer.add_blank_page(WIDTH, HEIGHT), None
    for _ in range(levels):
        form = DecodedStreamObject()
        form.set_data(b"0 0 m 500 800 l S" if inner is None else b"/X Do " * 10)
        form.update({NameObject("/Type"): NameObject("/XObject"), NameObject("/Subtype"): NameObject("/Form")})
        form[NameObject("/BBox")] = page.mediabox
        if inner is not None:
            objects = DictionaryObject({NameObject("/X"): inner})
            form[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): objects})
        inner = writer._add_object(form)
    objects = DictionaryObject({NameObject("/X"): inner})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): objects})
    stream = DecodedStreamObject()
    stream.set_data(b"/X Do")
    page[NameObject("/Contents")] = writer._add_object(stream)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "page", "said"),
    [
        (b"%PDF-1.7 and nothing else", 1, "it cannot be opened"),
        (b"<html></html>", 1, "it cannot be opened"),
        (printed([LEAVE]), 2, "there is no page 2: it has 1"),
        (printed([LEAVE]), -1, "there is no page -1"),
        (laughing(), 1, "died on it|not parsed within 4 s|of memory"),
    ],
)
def test_what_cannot_be_drawn_is_told(reader: Reader, tmp_path: Path, data: bytes, page: int, said: str) -> None:
    with pytest.raises(ReadError, match=said):
        asked(reader, tmp_path, data, page=page)


def test_a_page_of_any_size_is_a_picture_of_two_thousand_pixels_at_most(reader: Reader, tmp_path: Path) -> None:
    writer, file = PdfWriter(), io.BytesIO()
    writer.add_blank_page(width=14_400, height=200)
    writer.write(file)
    assert Image.open(io.BytesIO(asked(reader, tmp_path, file.getvalue()))).width == 2_000


def test_a_file_that_changed_is_not_drawn(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(printed([LEAVE]))
    with pytest.raises(ReadError, match="another one now"):
        reader.call("ragline_media.pages.drawing:drawn", tmp_path / "a.pdf", sha256="0" * 64, page=1)
