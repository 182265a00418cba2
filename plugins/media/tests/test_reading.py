"""What becomes of files of pictures: good ones, odd ones, and what only calls itself a picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.media.tests.drawn import drawings, encoded
from rag.reading import Beside, ParsedDocument, ReadError
from ragline_media.reading import picture as module
from ragline_media.reading.names import words_of
from ragline_media.reading.picture import parse

DISC = drawings(1)[0].picture(60)


def read(data: bytes, name: str = "a/bus.jpg", caption: str = "") -> tuple[ParsedDocument, list[str]]:
    notes = list[str]()
    [document] = parse(data, name, lambda reason, lost=False: notes.append(reason), Beside(caption=caption))
    return document, notes


def shown(document: ParsedDocument) -> Image.Image:
    """What is kept of it, decoded."""
    return Image.open(io.BytesIO(document.kept[0].data))


@pytest.mark.parametrize(("form", "media_type"), [("PNG", "image/png"), ("WEBP", "image/webp"), ("GIF", "image/gif")])
def test_what_a_browser_shows_is_kept_as_it_is(form: str, media_type: str) -> None:
    data = encoded(DISC, form)
    document, notes = read(data, caption="a red disc")
    [(_, content)] = document.contents
    assert document.kept[0].data == data
    assert (content.kind, content.media_type, content.text) == ("picture", media_type, "a red disc")
    assert content.uri == f"sha256:{content.sha256}"
    assert (document.title, document.text, notes) == ("bus", "a red disc", [])


def test_exif_turns_a_picture_and_is_gone_then() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a secret camera"  # to be turned by 90 degrees
    wide = Image.new("RGB", (60, 40), "red")
    wide.paste("blue", (0, 0, 30, 40))
    document, _ = read(encoded(wide, "JPEG", exif=exif, quality=95))
    kept = shown(document)
    assert kept.size == (40, 60)
    assert not kept.getexif()
    assert b"secret" not in document.kept[0].data + document.kept[0].thumbnail
    top, bottom = kept.convert("RGB").getpixel((20, 5)), kept.convert("RGB").getpixel((20, 55))
    assert top[2] > 200 > 100 > top[0], "what was left is above"  # type: ignore[index,operator]
    assert bottom[0] > 200 > 100 > bottom[2]  # type: ignore[index,operator]


def test_texts_in_a_png_are_not_kept() -> None:
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("Author", "somebody")
    document, _ = read(encoded(DISC, pnginfo=told))
    assert b"somebody" not in document.kept[0].data
    assert np.array_equal(np.asarray(shown(document).convert("RGB")), np.asarray(DISC)), "without loss"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (encoded(DISC.convert("CMYK"), "JPEG"), "image/jpeg"),
        (encoded(DISC, "TIFF"), "image/jpeg"),
        (encoded(DISC.convert("P")), "image/png"),
        (encoded(DISC.convert("RGBA")), "image/png"),
        (encoded(DISC.convert("LA")), "image/png"),
        (encoded(DISC.convert("1")), "image/png"),
    ],
)
def test_odd_modes_are_shown_by_browsers_in_the_end(data: bytes, media_type: str) -> None:
    document, _ = read(data)
    assert document.contents[0][1].media_type == media_type
    assert shown(document).mode in ("RGB", "RGBA", "P", "LA", "1")
    assert shown(document).size == DISC.size


def test_grey_of_sixteen_bits_keeps_its_scale() -> None:
    ramp = Image.fromarray(np.full((20, 30), 257 * 128, dtype=np.uint16))
    kept = shown(read(encoded(ramp))[0]).convert("L")
    assert kept.getextrema() == (128, 128)


def test_of_an_animation_the_first_frame_is_kept_and_that_is_said() -> None:
    blue = Image.new("RGB", DISC.size, "blue")
    document, notes = read(encoded(DISC, "GIF", save_all=True, append_images=[blue] * 3))
    assert notes == ["of several frames the first is kept"]
    kept = shown(document)
    with pytest.raises(EOFError):
        kept.seek(1)


@pytest.mark.parametrize(
    ("made", "said"),  # made by the test: every process of a run that collects tests would encode the bombs
    [
        (lambda: b"<html><script>alert(1)</script></html>", "no picture that is read here"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture that is read here"),
        (lambda: encoded(DISC)[:-40], "damaged"),
        (lambda: encoded(Image.effect_noise((90, 90), 60).convert("RGB"), "JPEG")[:1500], "damaged"),
        (lambda: encoded(Image.new("1", (12_000, 12_000))), "a bomb"),
        (lambda: encoded(Image.new("1", (14_000, 14_000))), "a bomb"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(made: Callable[[], bytes], said: str) -> None:
    with pytest.raises(ReadError, match=said):
        read(made())


def test_a_large_picture_that_is_written_anew_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_SIDE", 40)
    document, _ = read(encoded(DISC.resize((80, 60)), "JPEG"))
    assert shown(document).size == (40, 30)
    assert document.contents[0][1].metadata == {"width": 40, "height": 30}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trip/red_bus-at night.jpg", "red bus at night"),
        ("IMG_2034.JPG", ""),
        ("DSC00012.jpg", ""),
        ("PXL_20260101_101010.jpg", ""),
        ("000000107438.webp", ""),
        ("3f9a77c0-11d2-4e5f.png", ""),
        ("Bäckerei.png", "Bäckerei"),
    ],
)
def test_the_name_of_a_file_is_words_where_somebody_chose_it(name: str, words: str) -> None:
    assert words_of(name) == words


def test_reading_imports_no_network(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys, ragline_media.reading.picture; print([m for m in ('torch', 'PIL', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
