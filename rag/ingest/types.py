"""What travels between finding files, reading them and cutting them. Imports little."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from rag.core.contents import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one source file may cost. A file over a limit is an IngestError, never a dead process.

    `file_bytes`: of a file that is read at once. `corpus_bytes`: of a corpus file, unpacked;
    corpora are streamed, so this is not memory. `record_bytes`: of one JSONL line. `seconds`: of the processor's
    time for one file, and one more for each megabyte of it. `memory_bytes`: address space of the
    process that parses. `unpacked_ratio`: bytes that may come of one byte of a packed file of more than a few.
    `text_ratio`: characters of text that may come of one byte of a file that gives more than a million.
    A corpus has `seconds` between one document and the next. `ocr_pages`: of a file, that are read as pictures.
    `ocr_seconds`: that each of those adds.
    """

    file_bytes: int = 100_000_000
    corpus_bytes: int = 100_000_000_000
    record_bytes: int = 10_000_000
    seconds: float = 60.0
    memory_bytes: int = 3_000_000_000
    unpacked_ratio: int = 200
    text_ratio: int = 100
    ocr_pages: int = 1_000
    ocr_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"Limits: {name} must be above 0, got {getattr(self, name)}")


DEFAULT_LIMITS = Limits()

Layout = Literal["file", "corpus", "mail"]
LAYOUTS: tuple[Layout, ...] = ("file", "corpus", "mail")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file to read. `name` is unique within what it was found with: posix, relative to its source, or with its name.

    `layout`: `corpus` when its records are documents of a BEIR, FlashRAG or Pyserini corpus, each one unit; `mail` when
    it is a mail of a Maildir folder, whose name says nothing. `caption`: a file beside a picture or the like, that says in
    words what it is.
    """

    path: Path
    name: str
    size: int
    layout: Layout = "file"
    caption: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something to tell the user. `lost`: content is missing from the result; else it was mended and kept."""

    name: str
    reason: str
    lost: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


Report = Callable[[Problem], None]


class Note(Protocol):
    """How a parser tells what it mended, or with `lost` what it left out, while it reads on."""

    def __call__(self, reason: str, *, lost: bool = False) -> None: ...


class ReadError(Exception):
    """What a parser raises: why this file cannot be read and what to do. The reader adds the file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a source holds, by name.

    `ignored`: names of files of a kind that nothing here reads, such as images. `unread`: of folders and files that are
    there and cannot be looked at, so that nobody knows what they hold. `missing`: why there is no such source at all.
    """

    files: tuple[SourceFile, ...] = ()
    problems: tuple[Problem, ...] = ()
    ignored: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A paragraph, a heading, a list item, a table or a listing: `text[start:end]` of its document.

    `headings`: the path down to here, a heading's own block included. `page`: from 1. `lines`: to be cut at
    line ends, not at sentences. `ocr`: read from a picture.
    """

    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None
    lines: bool = False
    ocr: bool = False


LineBox = tuple[int, int, int, float, float, float, float]
"""Characters of the whole document, from and to; the page; left, top, right and bottom, in points of the page as it is shown."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A run of text in a row, and where it stands: points from the left and the top of the page as it is shown."""

    left: float
    right: float
    top: float
    bottom: float
    text: str

    @classmethod
    def of(cls, corners: Sequence[Sequence[float]], text: str) -> Cell:
        """From four corners, (x, y) each."""
        across, down = zip(*corners, strict=True)
        return cls(min(across), max(across), min(down), max(down), " ".join(text.split()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Bytes that an index is to keep, of a content whose uri is `sha256:` and their digest.

    `thumbnail`: a small picture of it as WebP; empty for none.
    """

    data: bytes
    thumbnail: bytes = b""

    @property
    def sha256(self) -> str:
        """Of the bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a reader of contents is given beside the bytes. `caption`: what a file beside it says of it, as one line.

    `begins`: to be called before each piece of work that takes seconds: it gives time for that, as for a page that is read as
    a picture (`Limits`). `lines`: gives the lines that OCR reads in an array of (height, width, 3) bytes, in its pixels, and
    begins by itself; None where pictures are not to be read so.
    """

    caption: str = ""
    begins: Callable[[], None] = lambda: None
    lines: Callable[[Any], Sequence[Sequence[Cell]]] | None = None


class ContentReader(Protocol):
    """A module that reads files which hold no text, such as pictures: what the group `ragline.content_reader` names."""

    KINDS: frozenset[str]
    """Of what its documents hold: legs that are for one of them come with it. Files of a reader of pictures are read again where
    OCR is asked for, or not any more."""

    def require(self) -> None:
        """Fetch what it needs, such as a model: called before a file of its kind is read, where one may fetch and write.

        Raises:
            ReadError: what is missing, and what to run.
        """
        ...

    def parse(self, data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
        """Its documents. Runs in the process that parses, which is bounded and writes no file. ReadError: why it cannot be read."""
        ...


Keep = Callable[[str, bytes, bytes], None]
"""Takes bytes that are to be kept: their sha256, the bytes, a thumbnail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDocument:
    """A document before it is cut. `blocks` are in order, do not overlap and cover all of `text` that is not
    space.

    `contents` are what stands beside the text, each with the place in `text` where it stands, in order of place; `kept`
    their bytes, as far as the index is to keep them.

    `offset`: where `text` begins in a document that is so long that it comes in stretches (`rag.ingest.stretches`):
    above 0 it goes on with the document before. Blocks and contents count from the beginning of `text`.

    `boxes`: where lines that were read from pictures stand, or cells of them, in order.

    `whole`: a corpus record, one unit unless the settings say that it is cut. `metadata` holds
    `source` and what the file says about itself; every chunk has it.
    """

    doc_id: str
    title: str
    text: str
    blocks: tuple[Block, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    whole: bool = False
    contents: tuple[tuple[int, Content], ...] = ()
    offset: int = 0
    kept: tuple[Kept, ...] = ()
    boxes: tuple[LineBox, ...] = ()


RESERVED = frozenset(
    {
        "parent",
        "source",
        "start",
        "end",
        "page",
        "ocr",
        "ocr_lines",
        "headings",
        "index_name",
        "index_text",
        "model_text",
        "line",
        "end_line",
        "code_language",
        "duplicates",
    }
)
"""Metadata keys that ingestion and transforms write. A file's field of such a name gets a `_` behind it."""


def own_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A file's own fields as metadata, out of the way of the reserved keys."""
    return {f"{key}_" if key in RESERVED else key: value for key, value in fields.items()}


def distinct(name: str, taken: set[str]) -> str:
    """`name`, or the first of name~2, name~3, ... that is not taken. Adds the result to `taken`."""
    candidate, n = name, 1
    while candidate in taken:
        n += 1
        candidate = f"{name}~{n}"
    taken.add(candidate)
    return candidate


class DistinctNames:
    """The same for very many names: one that comes a million times is not tried a million times each."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._tried: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def __call__(self, name: str) -> str:
        candidate, n = name, self._tried.get(name, 1)
        while candidate in self._taken:
            n += 1
            candidate = f"{name}~{n}"
        if n > 1:
            self._tried[name] = n - 1
        self._taken.add(candidate)
        return candidate
