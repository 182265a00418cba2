"""A picture or a table that stands in a document -> a document of its own, with the text around it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from rag.reading import Beside, Block, Content, Kept, Note, ParsedDocument, ReadError
from ragline_media.figures import table
from ragline_media.reading import picture

MOST = 300
"""Pictures of one file, and tables."""
MOST_BYTES = 20_000_000
"""Of all tables of one file."""
LEAST_SIDE = 48
"""Pixels; what is smaller is an icon, a bullet or a rule."""
LONGEST = 400
"""Characters of text on each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture in a document: its bytes, what is said of it, the text before it, and on which page it stands, from 1.

    Without bytes it cannot be read; `elsewhere`: it lies outside the document."""

    data: bytes = b""
    said: str = ""
    before: str = ""
    page: int | None = None
    elsewhere: bool = False

    @property
    def words(self) -> str:
        """What is said of it, else the end of the text before it."""
        return " ".join(self.said.split())[:LONGEST] or " ".join(self.before.split())[-LONGEST:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Figure):
    """A table in a document: its cells, where a picture has bytes."""

    grid: table.Grid


def documents(found: Iterable[Figure], name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """One for each picture that a browser may be given and for each table, `name@figure1` and `name@table1` and so on: passages of
    the same document, behind its text. A picture that comes again, as a logo does on every page, is kept once."""
    seen, counts, n_bytes, left_out, elsewhere = set[bytes](), {"figure": 0, "table": 0}, 0, 0, 0
    for each in found:
        kind = "table" if isinstance(each, Table) else "figure"
        if counts[kind] == MOST:
            note(f"more than {MOST} pictures or tables in it: the others are left out", lost=True)
            break
        if isinstance(each, Table):
            made = _tabled(each, name, note, counts["table"] + 1)
            n_bytes += len(made.kept[0].data)
            if n_bytes > MOST_BYTES:
                note(f"its tables have more than {MOST_BYTES:,} bytes: the others are rows of its text alone")
                break
        elif each.elsewhere:
            elsewhere += 1
            continue
        else:
            digest = hashlib.sha256(each.data).digest()
            if each.data and digest in seen:
                continue
            seen.add(digest)
            try:
                [made] = picture.parse(each.data, name, _quiet, replace(beside, caption=each.words))
            except ReadError:
                left_out += 1  # such as a drawing of an office program, which nobody here draws
                continue
            (_, content), *_ = made.contents
            if min(content.metadata["width"], content.metadata["height"]) < LEAST_SIDE:
                continue
        counts[kind] += 1
        page = {} if each.page is None else {"page": each.page}
        yield replace(
            made,
            doc_id=f"{name}@{kind}{counts[kind]}",
            title=PurePosixPath(name).stem,
            metadata={**made.metadata, "parent": name, kind: counts[kind], **page},
        )
    if left_out:
        note(f"{left_out} pictures in it are of a format that is not read here, too large or damaged", lost=True)
    if elsewhere:
        note(f"{elsewhere} pictures lie outside it: nothing is fetched for it, and no file is opened")


def _tabled(each: Table, name: str, note: Note, number: int) -> ParsedDocument:
    """Its text is what is said of it, and its first row below that: the names of its columns, if it has some."""
    if each.grid.cut:
        note(f"table {number} is cut after {len(each.grid.rows):,} rows; all of it is in the text")
    columns = " | ".join(filter(None, each.grid.rows[0]))[:LONGEST]
    text, kept = "\n".join(filter(None, (each.words, columns))), Kept(data=table.csv_of(each.grid.rows))
    facts = {"rows": len(each.grid.rows), "columns": len(each.grid.rows[0]), "header": each.grid.header}
    content = Content(
        kind=table.KIND,
        uri=f"sha256:{kept.sha256}",
        sha256=kept.sha256,
        media_type=table.MEDIA_TYPE,
        text=each.words or columns,
        metadata=facts,
    )
    return ParsedDocument(
        doc_id=name,
        title="",
        text=text,
        blocks=(Block(start=0, end=len(text), lines=True),),
        metadata={"source": name},
        whole=True,
        contents=((0, content),),
        kept=(kept,),
    )


def _quiet(reason: str, *, lost: bool = False) -> None:
    """What is mended in a picture of a document is told to nobody: there are many, and none has a name."""
