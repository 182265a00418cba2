"""`--image`: a question with a picture in it, in `rag search`, `rag ask` and `rag chat`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from rag.errors import SpecError
from rag.types import Content
from ragline_media.questions import MOST_BYTES, media_type_of


class ImageOption:
    """Pictures of files that whoever asks names. What a question itself says is never a name of a file."""

    @staticmethod
    def options(parser: ArgumentParser) -> None:
        """Add the option."""
        parser.add_argument("--image", action="append", default=[], metavar="FILE", help="a picture that is asked with")

    @staticmethod
    def contents(given: Namespace) -> Iterable[Content]:
        """The pictures, with their bytes.

        Raises:
            SpecError: a file is not there, too large, or no picture.
        """
        return [picture_of(Path(name)) for name in given.image]

    @staticmethod
    def where(given: Namespace) -> Iterable[str]:
        """Nothing is left out by it."""
        return ()


def picture_of(file: Path) -> Content:
    """A file as a content whose bytes are in it.

    Raises:
        SpecError: it is not there, too large, or no picture.
    """
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= MOST_BYTES else b""
    except OSError as cause:
        raise SpecError(f"--image '{file}' cannot be read: {cause.strerror}") from None
    if size > MOST_BYTES:
        raise SpecError(f"--image '{file}' has {size:,} bytes; a picture that is asked with has at most {MOST_BYTES:,}")
    media_type = media_type_of(data, what=f"--image '{file}'")
    uri = f"data:{media_type};base64,{b64encode(data).decode('ascii')}"
    return Content(kind="picture", uri=uri, sha256=sha256(data).hexdigest(), media_type=media_type)
