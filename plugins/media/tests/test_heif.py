"""Photos of telephones: decoded, turned, without what they say of place and owner, and refused with the line to run."""

from __future__ import annotations

import io
from base64 import b64decode
from pathlib import Path

import pytest
from PIL import Image

from rag import build_index
from rag.indexes import LocalIndex, contents_of
from rag.reading import Beside, ReadError
from ragline_media.reading import heif

# A red square at the upper left of 96 x 64 pixels, its maker told, marked as taken with the camera on its side: a telephone's.
PHOTO = b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAaFtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAAAAAERAAAIAAQAA"
    "AAABxQABAAAAAAAAAGgAAgAAAAACLQABAAAAAAAAAE4AAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRt"
    "AAAAAAABAAAA4GlwcnAAAADAaXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMA"
    "kAAAAwAAAwAeoDCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAQAAAABBwaXhpAAAA"
    "AAMICAgAAAAJaXJvdAMAAAAYaXBtYQAAAAAAAAABAAEFgQIDBIUAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAL5tZGF0AAAAZCgBr1iJvdC27U4g0f9A0/EiTxBM"
    "NaXYoCnr5n/16wLzLaejI6PD/t5vsWhwd0lWh7LJXc+q0ILAPwMFuhF0mHriGY4mbbzMP+sJP6ZJexpprUU32aUO/j0l5l9G2y/DbBMkaMwAAAAGRXhpZgAATU0AKgAA"
    "AAgAAwEPAAIAAAAMAAAAMgESAAMAAAABAAYAAIglAAQAAAABAAAAPgAAAABTZWNyZXRNYWtlcgAAAAAAAAA="
)


def test_a_photo_is_turned_and_written_as_what_a_browser_shows(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif", reason="the extra `heic` is not installed")
    assert b"SecretMaker" in PHOTO
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "IMG_0007.HEIC").write_bytes(PHOTO)
    (tmp_path / "photos" / "IMG_0007.HEIC.txt").write_text("a red square")
    build_index(tmp_path / "photos", tmp_path / "idx", legs=("lexical", "pictures"))
    with LocalIndex.open(tmp_path / "idx") as index:
        [document] = index.documents
        [content] = document.contents
        data = contents_of(index).read(content.sha256)
    assert (content.media_type, content.text) == ("image/jpeg", "a red square")
    assert (content.metadata["width"], content.metadata["height"]) == (64, 96)
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    assert picture.size == (64, 96)
    red = [place for place in ((20, 20), (44, 20), (20, 76), (44, 76)) if _is_red(picture, place)]
    assert red == [(44, 20)], "a quarter turn to the right"
    assert b"SecretMaker" not in data


def _is_red(picture: Image.Image, place: tuple[int, int]) -> bool:
    red, green, _ = picture.getpixel(place)  # type: ignore[misc]
    return bool(red > 180 and green < 90)


@pytest.mark.parametrize("data", [PHOTO[:400], b"<html>", PHOTO[:60] + bytes(200)])
def test_what_is_damaged_or_none_is_told(data: bytes) -> None:
    pytest.importorskip("pi_heif", reason="the extra `heic` is not installed")
    with pytest.raises(ReadError, match=r"damaged|no picture that is read here"):
        next(heif.parse(data, "a.heic", lambda reason, lost=False: None, Beside()))


def test_without_the_extra_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.core.optional.find_spec", lambda name: None)
    with pytest.raises(ReadError, match=r"reading HEIC needs pi_heif.*plugins/media\[heic\]"):
        heif.require()
