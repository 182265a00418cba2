"""`--image` and `--sound`: a question with a picture in it, or that is spoken, in `rag search`, `rag ask` and `rag chat`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from rag.errors import SpecError
from rag.reading import ReadError
from rag.types import Content
from ragline_media.questions import MOST_BYTES, media_type_of
from ragline_media.sound import asked
from ragline_media.sound.waves import format_of


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


class SoundOption:
    """A recording that says the question, or what stands behind the words of one."""

    @staticmethod
    def options(parser: ArgumentParser) -> None:
        """Add the option."""
        parser.add_argument("--sound", metavar="FILE", help="a recording that is asked with, by what is said in it")

    @staticmethod
    def contents(given: Namespace) -> Iterable[Content]:
        """The recording, with its bytes.

        Raises:
            SpecError: the file is not there, too large, or no recording.
        """
        return [] if given.sound is None else [sound_of(Path(given.sound))]

    @staticmethod
    def where(given: Namespace) -> Iterable[str]:
        """Nothing is left out by it."""
        return ()


def picture_of(file: Path) -> Content:
    """A file as a content whose bytes are in it.

    Raises:
        SpecError: it is not there, too large, or no picture.
    """
    data = _read(file, "--image", MOST_BYTES)
    return _inside("picture", media_type_of(data, what=f"--image '{file}'"), data)


def sound_of(file: Path) -> Content:
    """The same of a recording.

    Raises:
        SpecError: it is not there, too large, or no recording.
    """
    data = _read(file, "--sound", asked.MOST_BYTES)
    try:
        return _inside("sound", format_of(data)[1], data)
    except ReadError as cause:
        raise SpecError(f"--sound '{file}': {cause}") from None


def _read(file: Path, option: str, most: int) -> bytes:
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= most else b""
    except OSError as cause:
        raise SpecError(f"{option} '{file}' cannot be read: {cause.strerror}") from None
    if size > most:
        raise SpecError(f"{option} '{file}' has {size:,} bytes; what is asked with has at most {most:,}")
    return data


def _inside(kind: str, media_type: str, data: bytes) -> Content:
    uri = f"data:{media_type};base64,{b64encode(data).decode('ascii')}"
    return Content(kind=kind, uri=uri, sha256=sha256(data).hexdigest(), media_type=media_type)
