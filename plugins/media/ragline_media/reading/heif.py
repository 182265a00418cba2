"""HEIC and HEIF, as telephones write photos: read as other pictures are, and kept as what a browser shows.

What decodes them is an extra (pi-heif, which carries a decoder alone). It turns them as they say themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from rag.errors import RagError, need
from rag.reading import Beside, Note, ParsedDocument, ReadError
from ragline_media.reading import picture

KINDS = picture.KINDS
INSTALL = "pip install './plugins/media[heic]' in a clone of ragline"


def require() -> None:
    """See that what decodes them is here.

    Raises:
        ReadError: it is not, and what to run.
    """
    try:
        need("pi_heif", by="reading HEIC", line=INSTALL)
    except RagError as cause:
        raise ReadError(str(cause)) from None


def parse(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """One document, as of any picture.

    Raises:
        ReadError: it is no picture that is read here, damaged, or too large.
    """
    import pi_heif

    pi_heif.register_heif_opener()
    yield from picture.parse(data, name, note, beside, formats=(*picture.FORMATS, "HEIF"))
