"""Puts a document together block by block, so that every parser gets text, spans and heading paths right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from rag.ingest.clean import Cleaner
from rag.ingest.columns import Columns, Repeated
from rag.ingest.formats import unpacked_name
from rag.ingest.stretches import BLOCKS, LENGTH
from rag.ingest.types import Block, Note, ParsedDocument

LINE = 1_000
"""Characters of a title, an id or all headings of a path together that go on with every chunk."""


class Layout:
    """A growing document. Blocks are cleaned, stripped and set a blank line apart; `tight` ones a line."""

    def __init__(self, clean: Cleaner | None = None) -> None:
        self.clean = clean or Cleaner()
        self.repeated = Repeated()
        self.first_heading = ""
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._tight = False
        self._path: list[tuple[int, str]] = []
        self._title = ""
        self._offset = 0

    @property
    def full(self) -> bool:
        """Whether there is enough for a stretch, which the parser may now hand on with `stretch`."""
        return self._length >= LENGTH or len(self._blocks) >= BLOCKS

    def heading(self, level: int, text: str, *, page: int | None = None) -> None:
        """Open a section; it closes those of the same level and deeper."""
        text = self.clean.line(text)
        if not text:
            return
        self.open(level, text)
        self.first_heading = self.first_heading or text[:LINE]
        self.block(text, page=page)

    def open(self, level: int, text: str) -> None:
        """Open a section whose heading is not itself part of the text, or is part of the next block."""
        self.close(level)
        self._path.append((level, text[:LINE]))

    def close(self, level: int) -> None:
        """End the sections of this level and deeper."""
        while self._path and self._path[-1][0] >= level:
            self._path.pop()

    def block(
        self, text: str, *, page: int | None = None, lines: bool = False, tight: bool = False, under: str = ""
    ) -> None:
        """Add text as it stands. Where `lines`, its first line keeps its indentation. `under`: a heading of this block alone."""
        text = self.clean(text)
        text = text.strip("\n").rstrip() if lines else text.strip()
        if not text.strip():
            return
        if self._parts:
            gap = "\n" if tight and self._tight else "\n\n"
            self._parts.append(gap)
            self._length += len(gap)
        self._tight = tight
        self._parts.append(text)
        start, self._length = self._length, self._length + len(text)
        path = [*(heading for _, heading in self._path), *([under] if under else [])]
        headings = tuple(heading[: LINE // len(path)] for heading in path)
        self._blocks.append(Block(start=start, end=self._length, headings=headings, page=page, lines=lines))

    def table(self, rows: Sequence[Sequence[str]], *, header: bool, page: int | None = None) -> None:
        """One line a row; below a header row `column: value; column: value`, which is understood alone."""
        names: Sequence[str] = ()
        if header and len(rows) > 1:
            names, *rows = rows
        columns = Columns([self.clean.line(name) for name in names], self.repeated)
        for under, lines in columns.blocks(enumerate(map(self.clean.line, row)) for row in rows):
            self.block("\n".join(lines), page=page, lines=True, under=under)

    def tell(self, note: Note) -> None:
        """Say what was mended in the text, and what was left out of tables."""
        self.clean.tell(note)
        self.repeated.tell(note)

    def document(
        self, name: str, *, title: str = "", doc_id: str = "", metadata: Mapping[str, Any] | None = None
    ) -> ParsedDocument:
        """The finished document; its title falls back to the first heading, then to the file's name."""
        return ParsedDocument(
            doc_id=doc_id or name,
            title=self._title or self.clean.line(title)[:LINE] or self.first_heading or title_of(name),
            text="".join(self._parts),
            blocks=tuple(self._blocks),
            metadata={**(metadata or {}), "source": name},
            offset=self._offset,
        )

    def stretch(
        self, name: str, *, title: str = "", doc_id: str = "", metadata: Mapping[str, Any] | None = None
    ) -> ParsedDocument:
        """What there is of a long document so far, which goes on behind it: under the same headings and title."""
        self._parts.append("\n\n")
        document = self.document(name, title=title, doc_id=doc_id, metadata=metadata)
        self._title, self._offset = document.title, self._offset + len(document.text)
        self._parts, self._blocks, self._length, self._tight = [], [], 0, False
        return document


def fields(pairs: Sequence[tuple[str, str]], joint: str) -> str:
    """`name: value` of every pair that has a value."""
    return joint.join(f"{name}: {value}" if name else value for name, value in pairs if value)


def title_of(name: str) -> str:
    """A title made of a file's name.

    >>> title_of("guides/on-call_rules.txt")
    'on call rules'
    """
    stem = PurePosixPath(unpacked_name(name)).stem
    return " ".join(stem.replace("_", " ").replace("-", " ").split()) or name
