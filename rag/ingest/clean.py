"""Bytes -> text that is safe to store and print: one encoding, no control characters, no half characters."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from rag.ingest.types import Note, ReadError

_BREAKS = re.compile("\r\n?|[\f\v\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_PERMALINK = re.compile(r"\A\s*+(?:[¶🔗\ufe0f\u200b]++\s*+|#++\s++)++")
_BOMS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_WRITTEN = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined"})
"""Names that Python takes for encodings and no text is written in. Some take time by the square of the length."""
_BINARY = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b\b"))
_SAMPLE = 1 << 16
_PIECE = 1 << 20


def without_permalink(heading: str) -> str:
    """A heading without the sign that links to it, which documentation tools put before or behind it.

    >>> without_permalink("Install ¶"), without_permalink("# C#"), without_permalink("Use 🔗")
    ('Install', 'C#', 'Use')
    """
    for _ in ("before", "behind"):  # the same signs, so that the second time it is read backwards
        heading = _PERMALINK.sub("", heading)[::-1]
    return heading


class Cleaner:
    """Cleans piece after piece and counts what it changed.

    Line ends become `\\n`; control characters other than `\\n` and `\\t` go; a lone surrogate becomes U+FFFD.
    Everything else stays as it is: markup, chat-turn tokens and what is left of an ANSI escape are only text.
    """

    def __init__(self) -> None:
        self.removed = 0
        self.replaced = 0

    def __call__(self, text: str) -> str:
        if text.replace("\n", "").isprintable():  # nearly all are: nothing that is cleaned away can be printed
            return text
        text = _BREAKS.sub("\n", text)
        text, removed = _CONTROLS.subn("", text)
        text, replaced = _SURROGATES.subn("\ufffd", text)
        self.removed += removed
        self.replaced += replaced
        return text

    def line(self, text: str) -> str:
        """Cleaned, on one line, single spaces: for titles, headings and names."""
        return " ".join(self(text).split())

    def tell(self, note: Note) -> None:
        """Say what was changed, if anything was."""
        if self.removed:
            note(f"{self.removed} control characters removed")
        if self.replaced:
            note(f"{self.replaced} half characters (lone surrogates) replaced")


def decode(data: bytes, note: Note) -> str:
    """The text of a file, at once. See `decoded`."""
    return "".join(decoded(data, note))


def decoded_as(data: bytes, encoding: str) -> str | None:
    """The text in an encoding that a file declares; None where there is no such encoding or the text is not in it."""
    try:
        if codecs.lookup(encoding).name.replace("-", "_") in _NOT_WRITTEN:
            return None
        return data.decode(encoding)
    except (LookupError, UnicodeError, ValueError):
        return None


def decoded(data: bytes, note: Note) -> Iterator[str]:
    """The text of a file, in pieces of which none ends within a line end.

    A byte order mark decides; else UTF-8; else Windows-1252, as long as at most a quarter of the bytes are
    not ASCII. Beyond that it is a script that Windows-1252 cannot write, and guessing would store nonsense.

    Raises:
        ReadError: says why and what to do.
    """
    held = ""
    for piece in _pieces(data, _encoding(data, note)):
        piece = held + piece
        held = "\r" if piece.endswith("\r") else ""
        yield piece.removesuffix("\r")
    if held:
        yield held


def _pieces(data: bytes, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    view = memoryview(data)
    for start in range(0, len(data), _PIECE):
        yield decoder.decode(view[start : start + _PIECE], start + _PIECE >= len(data))


def _fits(data: bytes, encoding: str) -> UnicodeDecodeError | None:
    """None where it does; else the error, with its place in `data`."""
    try:
        for _ in _pieces(data, encoding):
            pass
    except UnicodeDecodeError:
        try:
            data.decode(encoding)
        except UnicodeDecodeError as cause:
            return cause
    return None


def _encoding(data: bytes, note: Note) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            if cause := _fits(data, encoding):
                raise ReadError(f"starts as {encoding} but is not: {cause.reason} at byte {cause.start}")
            return encoding
    sample = data[:_SAMPLE]
    controls = len(sample) - len(sample.translate(None, _BINARY))
    if controls > max(8, len(sample) // 20):
        raise ReadError("binary, not text (or UTF-16 without its byte order mark)")
    if (cause := _fits(data, "utf-8")) is None:
        return "utf-8"
    high = sum(byte > 127 for byte in sample)
    if high > max(8, len(sample) // 4):
        raise ReadError(f"not UTF-8 (byte {cause.start}) and in an encoding that cannot be told; convert it to UTF-8")
    if _fits(data, "cp1252") is None:
        note("not UTF-8; read as Windows-1252")
        return "cp1252"
    note("not UTF-8; read as Latin-1")  # five bytes mean nothing in Windows-1252
    return "latin-1"
