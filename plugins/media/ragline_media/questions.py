"""Pictures and sounds of a question: bytes that came with it, or a picture of the index that whoever asks may read."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode

from rag.errors import SpecError
from rag.indexes import Index, contents_of, let_through
from rag.types import Content, Query
from ragline_media.reading.picture import FORMATS, MOST_PIXELS

MOST_BYTES = 20_000_000
"""Of a picture that somebody asks with."""

NOISE = "noise"
"""A sound that is asked with by what is to be heard in it. Of one of kind `sound` the words are asked."""

_KEPT = "sha256:"


def pictures_of(query: Query, index: Index) -> list[bytes]:
    """Bytes of each picture of a question. Nothing is opened: neither a file nor an address.

    Raises:
        SpecError: one is too large, no picture, or not there for whoever asks.
    """
    return [_bytes_of(content, query, index) for content in query.contents if content.kind == "picture"]


def noises_of(query: Query) -> list[bytes]:
    """Bytes of each sound of a question that is no speech.

    Raises:
        SpecError: one is too large, or an address.
    """
    noises = (content for content in query.contents if content.kind == NOISE)
    return [bytes_inside(each, what="sound", most=MOST_BYTES, smaller="Make it shorter") for each in noises]


def _bytes_of(content: Content, query: Query, index: Index) -> bytes:
    if content.uri.startswith(_KEPT):
        store = contents_of(index)
        if content.sha256 not in store or not let_through(index, store.rows(content.sha256), query.where):
            raise SpecError(f"there is no picture {content.sha256} in this index. Ask with one that a search has given")
        data = store.read(content.sha256)
    else:
        data = bytes_inside(content, what="picture", most=MOST_BYTES, smaller="Make it smaller")
    media_type_of(data, what="what is asked with")
    return data


def address_of(data: bytes, media_type: str) -> str:
    """Bytes as an address that holds them, which `bytes_inside` reads."""
    return f"data:{media_type};base64,{b64encode(data).decode('ascii')}"


def bytes_inside(content: Content, *, what: str, most: int, smaller: str) -> bytes:
    """Those that a content of a question has in its `uri`.

    Raises:
        SpecError: it has an address in their place, or more than `most`; says `what` it is, and how it gets `smaller`.
    """
    uri, begins, encoded = content.uri.partition(";base64,")
    if not begins or not uri.startswith("data:"):
        raise SpecError(f"a {what} is asked with by its bytes: an address is opened by nobody here")
    if 3 * len(encoded) > 4 * (most + 2) or len(data := b64decode(encoded)) > most:
        raise SpecError(f"a {what} that is asked with has at most {most:,} bytes. {smaller}")
    return data


def media_type_of(data: bytes, *, what: str) -> str:
    """Of a picture, which is not decoded for it.

    Raises:
        SpecError: it is none, or has too many pixels.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            n, media_type = picture.size[0] * picture.size[1], f"image/{str(picture.format).lower()}"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
        raise SpecError(f"{what} is no picture ({', '.join(FORMATS)}): {type(cause).__name__}") from None
    if n > MOST_PIXELS:
        raise SpecError(f"{what} has {n:,} pixels; a picture that is asked with has at most {MOST_PIXELS:,}")
    return media_type
