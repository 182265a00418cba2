"""`--image`, `--sound` and `--noise` of `rag search`, `rag ask` and `rag chat`: with a picture, spoken, or with a sound."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from rag.doors import inside
from rag.errors import SpecError
from rag.reading import ReadError
from rag.types import Content
from ragline_media.questions import MOST_BYTES, NOISE, address_of, media_type_of
from ragline_media.sound import asked
from ragline_media.sound.waves import format_of


class _Unfiltered:
    """An option that leaves out no document."""

    @staticmethod
    def where(given: Namespace) -> Iterable[str]:
        return ()


class ImageOption(_Unfiltered):
    """Pictures of files that whoever asks names. What a question itself says is never a name of a file."""

    @staticmethod
    def options(parser: ArgumentParser) -> None:
        parser.add_argument("--image", action="append", default=[], metavar="FILE", help="a picture that is asked with")

    @staticmethod
    def contents(given: Namespace) -> Iterable[Content]:
        return [picture_of(Path(name)) for name in given.image]


class SoundOption(_Unfiltered):
    """A recording that says the question, or what stands behind the words of one."""

    @staticmethod
    def options(parser: ArgumentParser) -> None:
        parser.add_argument("--sound", metavar="FILE", help="a recording that is asked with, by what is said in it")

    @staticmethod
    def contents(given: Namespace) -> Iterable[Content]:
        return [] if given.sound is None else [sound_of(Path(given.sound))]


class NoiseOption(_Unfiltered):
    """Sounds that are no speech, of files that whoever asks names."""

    @staticmethod
    def options(parser: ArgumentParser) -> None:
        parser.add_argument(
            "--noise", action="append", default=[], metavar="FILE", help="a sound that is no speech, to ask with"
        )

    @staticmethod
    def contents(given: Namespace) -> Iterable[Content]:
        return [sound_of(Path(name), kind=NOISE) for name in given.noise]


class NoiseForm:
    """Such a sound in a request: its kind, a media type and its bytes in base64."""

    @staticmethod
    def shown(content: Content) -> Mapping[str, Any]:
        """What a reply says of it."""
        return {"kind": content.kind, "media_type": content.media_type, "sha256": content.sha256}

    @staticmethod
    def read(data: Mapping[str, Any]) -> Content:
        """The content.

        Raises:
            ValueError: it has anything else, or is not base64.
        """
        if set(data) != {"kind", "media_type", "data"} or not all(isinstance(each, str) for each in data.values()):
            raise ValueError("a noise has its kind, a media_type such as audio/wav, its bytes as data, and no more")
        return inside(NOISE, data["media_type"], data["data"])


def picture_of(file: Path) -> Content:
    """A file as a content whose bytes are in it.

    Raises:
        SpecError: it is not there, too large, or no picture.
    """
    data = _read(file, "--image", MOST_BYTES)
    return _inside("picture", media_type_of(data, what=f"--image '{file}'"), data)


def sound_of(file: Path, *, kind: str = "sound") -> Content:
    """The same of a recording: one of kind `sound` is asked by what is said in it, one of kind `noise` by what is to be heard.

    Raises:
        SpecError: it is not there, too large, or no recording.
    """
    data = _read(file, f"--{kind}", asked.MOST_BYTES)
    try:
        return _inside(kind, format_of(data)[1], data)
    except ReadError as cause:
        raise SpecError(f"--{kind} '{file}': {cause}") from None


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
    return Content(kind=kind, uri=address_of(data, media_type), sha256=sha256(data).hexdigest(), media_type=media_type)
