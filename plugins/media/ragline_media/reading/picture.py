"""Pictures: png, jpg, webp, gif and tiff -> bytes that a browser may be given, a thumbnail, and a caption. Runs in the process
that parses, which is bounded in memory and in the processor's time.

Bytes stay as they are where a browser shows them and they say nothing beside pixels; else the picture is written anew, turned
as EXIF says and without EXIF: that may hold the place where it was taken, and who took it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag.reading import Beside, Content, Kept, Note, ParsedDocument, ReadError
from ragline_media.reading import lines
from ragline_media.reading.names import words_of

if TYPE_CHECKING:
    from PIL.Image import Image

KIND = "picture"
KINDS = frozenset({KIND})
"""What its documents hold."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF")
MOST_PIXELS = 64_000_000
"""Of one picture: a camera of the largest kind. Decoded they take 256 MB."""
LONGEST_SIDE = 4096
"""Pixels of a picture that is written anew."""
THUMBNAIL = 320
"""Pixels of its longest side."""

_SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
"""Formats that browsers show -> their media type."""
_OF_PIXELS = frozenset({
    "aspect", "background", "chromaticity", "dpi", "duration", "extension", "gamma",
    "icc_profile", "interlace", "jfif", "jfif_density", "jfif_unit", "jfif_version", "loop",
    "progression", "progressive", "srgb", "timestamp", "transparency", "version",
})  # fmt: skip
"""What formats say beside pixels that is about pixels alone. All else may say where, when and by whom."""
_DRAWN_PIXELS = 2_000_000
"""Up to so many, what came without loss is kept without loss."""
_LONGEST_CAPTION = 2_000


def require() -> None:
    """Nothing: what it needs is installed with this package."""


def parse(
    data: bytes, name: str, note: Note, beside: Beside, *, formats: tuple[str, ...] = FORMATS
) -> Iterator[ParsedDocument]:
    """One document without pages: its text is the caption, and what OCR reads on it where that is asked for; its title the words
    of the file's name, if it has some.

    Args:
        formats: that Pillow is let read.
    Raises:
        ReadError: it is no picture of these formats, damaged, or too large.
    """
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage that is told by an error, if it matters
        try:
            with Image.open(io.BytesIO(data), formats=formats) as picture:
                kept, media_type, size, turned = _kept(picture, data, note)
        except UnidentifiedImageError:
            raise ReadError(f"no picture that is read here ({', '.join(formats)}), whatever its name says") from None
        except Image.DecompressionBombError:
            raise ReadError(
                f"more than {MOST_PIXELS:,} pixels; a bomb? Save it smaller, if it is what it should be"
            ) from None
        except (OSError, ValueError, SyntaxError, EOFError) as cause:
            raise ReadError(f"damaged: {str(cause)[:200] or type(cause).__name__}") from None
    said = beside.caption[:_LONGEST_CAPTION]
    on_it = lines.read(turned, said, beside, note)
    content = Content(
        kind=KIND,
        uri=f"sha256:{kept.sha256}",
        sha256=kept.sha256,
        media_type=media_type,
        text=said,
        metadata={"width": size[0], "height": size[1], **on_it.places},
    )
    yield ParsedDocument(
        doc_id=name,
        title=words_of(name),
        text=on_it.text,
        blocks=on_it.blocks,
        metadata={"source": name, "media_type": media_type, **on_it.metadata},
        whole=True,
        contents=((0, content),),
        kept=(kept,),
    )


def _kept(picture: Image, data: bytes, note: Note) -> tuple[Kept, str, tuple[int, int], Image]:
    """What is kept of an opened picture, its media type, its width and height, and its pixels."""
    across, down = picture.size
    if across * down > MOST_PIXELS:
        raise ReadError(
            f"{across:,} x {down:,} pixels, more than {MOST_PIXELS:,}; a bomb? Save it smaller, if it is what it should be"
        )
    animated = _moves(picture)
    if animated:
        note("of several frames the first is kept")
    plain = _shown_as_it_is(picture) and not animated
    turned = _turned(picture)  # decodes all of it: what is cut off ends here
    if not plain:
        data, media_type = _written(turned, lossless=picture.format in ("PNG", "GIF"))
    else:
        media_type = _SHOWN[str(picture.format)]
    size = turned.size if plain else _bounded(turned, LONGEST_SIDE).size
    return Kept(data=data, thumbnail=thumbnail_of(turned)), media_type, size, turned


def _moves(picture: Image) -> bool:
    """Whether there is a second frame. No others are counted: there may be thousands."""
    try:
        picture.seek(1)
    except (EOFError, OSError, ValueError):
        moves = False
    else:
        moves = True
    picture.seek(0)
    return moves


def _shown_as_it_is(picture: Image) -> bool:
    """Whether a browser shows its bytes as the picture is, and they say nothing beside."""
    told = {*picture.info} - _OF_PIXELS
    return (
        picture.format in _SHOWN
        and picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA")
        and not told
        and max(picture.size) <= LONGEST_SIDE
    )


def _turned(picture: Image) -> Image:
    """In RGB or RGBA, 8 bits a channel, turned as EXIF says."""
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(picture)
    if turned.mode.startswith(("I", "F")):  # grey of 16 or 32 bits a pixel
        turned = _in_eight_bits(turned)
    seen_through = turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info
    return turned.convert("RGBA" if seen_through else "RGB")


def _in_eight_bits(picture: Image) -> Image:
    """Grey of 16 bits by its scale; of 32, which has none, from its darkest to its lightest pixel."""
    import numpy as np
    from PIL import Image

    grey = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    darkest, lightest = (0.0, 65535.0) if picture.mode.startswith("I;16") else (float(grey.min()), float(grey.max()))
    scaled = (grey - darkest) * (255.0 / max(lightest - darkest, 1e-12))
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _bounded(picture: Image, longest: int) -> Image:
    from PIL import Image

    if max(picture.size) <= longest:
        return picture
    smaller = picture.copy()
    smaller.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return smaller


def _written(picture: Image, *, lossless: bool) -> tuple[bytes, str]:
    picture = _bounded(picture, LONGEST_SIDE)
    stream = io.BytesIO()
    if picture.mode == "RGBA" or (lossless and picture.size[0] * picture.size[1] <= _DRAWN_PIXELS):
        picture.save(stream, "PNG")
        return stream.getvalue(), "image/png"
    picture.save(stream, "JPEG", quality=92)
    return stream.getvalue(), "image/jpeg"


def thumbnail_of(picture: Image) -> bytes:
    """A small one of it, as WebP."""
    stream = io.BytesIO()
    _bounded(picture, THUMBNAIL).save(stream, "WEBP", quality=80, method=2)
    return stream.getvalue()
