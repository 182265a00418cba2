"""PDF through pypdf, and pdfium where words run together: the text of every page with its number, headings from the outline;
pictures of pages by OCR."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, groupby, repeat
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from rag.ingest.layout import Layout
from rag.ingest.ocr import PageReader, placed
from rag.ingest.types import Cell, LineBox, Note, ParsedDocument, ReadError

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\xad": ""})
_ACCENTS = {"´": "\u0301", "`": "\u0300", "¨": "\u0308", "ˆ": "\u0302", "˜": "\u0303", "¸": "\u0327"}
_LOOSE = re.compile(r"(?P<accent>[´`¨ˆ˜¸])(?P<letter>[acenouıAEOUCN])")
_LOOSE_IN_WORDS = re.compile(r"[^\W\d_][´¨ˆ][aeouı]")
_HYPHENATED = re.compile(r"[a-zß-ÿ]-[a-zß-ÿ]")
_NARROW = 40  # characters; narrower text is a table or a list of names, where every line stands for itself
_MARKER = re.compile(r"\A\s*(?:[-*•‣–·▪]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")
_MANY_SHORT_LINES = re.compile(r"(?:(?:^|\n)[^\n]{1,40}(?=\n)){6}")
_GAP = re.compile(r" {3,}")
_CELLS = " | "
_NUMBERING = re.compile(r"\A(?:\d++[.)]?)++\s++")
_NO_TITLE = re.compile(r"(?i)\A(?:untitled|microsoft word|.*\.(?:docx?|pdf|tex|dvi|indd|odt|qxd)$|\W*$)")
_DEEP = 2
"""Lines at the top and at the foot of a page that may be repeated ones."""
_BROKEN_WORD = "\ufffe"
"""What pdfium says for a hyphen at the end of a line and the end of that line."""
_ASTRAY, _IN_PAGE, _IN_LINE = 0.03, 1.1, 2.0
_BETWEEN_WORDS = re.compile(r"(?<=[^\W\d_])\s+(?=[^\W\d_])")
_PAGES = 3
_SHARE = 0.4  # of the pages: left and right ones may have lines of their own
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")
_Place = tuple[int, str]
"""Line of a page, from 0 at the top and from -1 at the foot; and what stands there, whatever its numbers are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    level: int
    title: str


def parse(data: bytes, name: str, note: Note, *, ocr: PageReader | None = None) -> Iterator[ParsedDocument]:
    """One document. Lines that the page's width broke are joined again.

    Args:
        ocr: reads the pages that have no text; none: nobody does.
    Raises:
        ReadError: a password is needed, or no page has text.
    """
    reader = _open(data)
    layout = Layout()
    outline = _outline(reader)
    title = layout.clean.line(str(reader.metadata.title or "")) if reader.metadata else ""
    title = "" if _NO_TITLE.match(title) else title
    pages = [layout.clean(text).translate(_LIGATURES).split("\n") for text in _texts(reader, data, note)]
    silent = [number for number, lines in enumerate(pages, start=1) if not "".join(lines).strip()]
    pictures = _read_pictures(silent, pages, ocr, layout, note) if ocr else {}
    silent = [number for number in silent if number not in pictures]
    if len(silent) == len(pages):
        nothing = "no text on any page, and OCR found none"
        raise ReadError(nothing if ocr else "no text on any page; it looks scanned: index it with --ocr")
    running = RunningLines([lines for number, lines in enumerate(pages, start=1) if number not in silent])
    for number, lines in enumerate(pages, start=1):
        entries = outline.get(number, ())
        if layout.full:
            yield _marked(layout.stretch(name, title=title), pictures)
        _page(running.without(lines, keep=[entry.title for entry in entries]), number, entries, layout)
    if silent:
        numbers = f"{', '.join(map(str, silent[:10]))}{', ...' if len(silent) > 10 else ''}"
        few = f"page {silent[0]} has no text: a scan?"
        note(few if len(silent) == 1 else f"{len(silent)} pages have no text: scans? Pages {numbers}", lost=True)
    if running.removed:
        note(f"{running.removed} repeated headers and footers of pages left out")
    layout.tell(note)
    yield _marked(layout.document(name, title=title), pictures)


class RunningLines:
    """What the pages of a document repeat at their top and foot. `pages`: the lines of each.

    A line is one if it stands at the same place of at least three pages and two fifths of them, page numbers aside.
    """

    def __init__(self, pages: Sequence[Sequence[str]]) -> None:
        counts = Counter(place for page in pages for _, place in _places(page))
        least = max(_PAGES, _SHARE * len(pages))
        self._running = {place for place, n in counts.items() if n >= least}
        self.removed = 0

    def without(self, page: Sequence[str], *, keep: Collection[str] = ()) -> list[str]:
        """The page without them; a page that would be empty then, and lines that are `keep`, stay as they are."""
        kept = {_bare(line) for line in keep}
        running = {
            number for number, place in _places(page) if place in self._running and _bare(page[number]) not in kept
        }
        rest = [line for number, line in enumerate(page) if number not in running]
        if not any(line.strip() for line in rest):
            return list(page)
        self.removed += len(running)
        return rest


def _read_pictures(
    silent: Sequence[int], pages: list[list[str]], ocr: PageReader, layout: Layout, note: Note
) -> dict[int, list[Cell]]:
    """Put the lines of pages that are pictures in their places. Returns their cells in order, of those that have any, by number."""
    failed, cells = list[str](), dict[int, list[Cell]]()
    for number in silent:
        try:
            lines = ocr.lines(number)
            text = "\n".join(_CELLS.join(cell.text for cell in line) for line in lines)
            pages[number - 1] = layout.clean(text).translate(_LIGATURES).split("\n")
            if "".join(pages[number - 1]).strip():
                cells[number] = [
                    replace(cell, text=cell.text.translate(_LIGATURES)) for cell in chain.from_iterable(lines)
                ]
        except (ReadError, MemoryError):
            raise
        except Exception as cause:  # one picture that cannot be drawn or read leaves the other pages as they are
            failed.append(f"page {number}: {type(cause).__name__}: {str(cause)[-100:]}")
    if failed:
        note(f"{len(failed)} pages on which OCR gave up; first: {failed[0]}", lost=True)
    return cells


def _marked(document: ParsedDocument, pictures: Mapping[int, Sequence[Cell]]) -> ParsedDocument:
    """The document, with its blocks that OCR read marked, and where their lines stand."""
    if not pictures:
        return document
    blocks = tuple(replace(block, ocr=block.page in pictures) for block in document.blocks)
    boxes = list[LineBox]()
    for page, group in groupby(blocks, key=lambda block: block.page or 0):
        run = [*group]
        start, text = document.offset + run[0].start, document.text[run[0].start : run[-1].end]
        for first, last, cell in placed(text, pictures.get(page, ())):
            boxes.append((start + first, start + last, page, cell.left, cell.top, cell.right, cell.bottom))
    return replace(document, blocks=blocks, boxes=tuple(boxes))


def _open(data: bytes) -> PdfReader:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    if b"%PDF-" not in data[:1024]:
        raise ReadError("not a PDF, whatever its name says")
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted:
        locked = ReadError("encrypted; save a copy without the password")
        try:
            if not reader.decrypt(""):  # many files only restrict printing and open without a password
                raise locked
        except DependencyError:
            raise locked from None
    return reader


def _texts(reader: PdfReader, data: bytes, note: Note) -> Iterator[str]:
    """Each page; one that pypdf gives up, such as for a font with more widths than it allows, is as pdfium sees it."""
    refused = list[str]()
    for number, (page, seen) in enumerate(zip(reader.pages, _seen(data, len(reader.pages)), strict=False), start=1):
        try:
            text = _text(page, seen)
        except MemoryError:
            raise
        except Exception as cause:  # pypdf raises many kinds on unusual pages, and the others are worth having
            refused.append(f"page {number}: {type(cause).__name__}: {str(cause)[-100:]}")
            text = seen
        yield _composed(text)
    if refused:
        note(f"pages as pdfium sees them, as pypdf gives up: {len(refused)}, first {refused[0]}")


def _text(page: PageObject, seen: str) -> str:
    """A page in the order in which its file draws it, or as it looks where that shows a table. `seen`: as pdfium sees it.

    The order of drawing keeps columns of prose apart but puts every cell of a table on a line of its own.
    """
    drawn = page.extract_text()
    if (parted := _parted(drawn, seen)) != drawn or not _MANY_SHORT_LINES.search(drawn):
        return parted
    looks = page.extract_text(extraction_mode="layout", layout_mode_space_vertically=False)
    rows = [_GAP.split(line.strip()) for line in looks.split("\n")]
    tabular = sum(len(row) > 1 and max(map(len, row)) < _NARROW for row in rows)
    columns = sum(len(row) > 1 and max(map(len, row)) >= _NARROW for row in rows)
    complete = len("".join(looks.split())) >= 0.99 * len("".join(drawn.split()))
    return "\n".join(map(_CELLS.join, rows)) if tabular > 2 * columns and tabular > 2 and complete else drawn


def _composed(text: str) -> str:
    """A page whose accents stand before their letters, as old files of TeX draw them: `amplifi´ee`, `pr`es`.

    Of fewer than three in words none is put on its letter: what looks like one may be a quote.
    """
    if len(_LOOSE_IN_WORDS.findall(text)) < 3:
        return text
    return _LOOSE.sub(_on_its_letter, text)


def _on_its_letter(loose: re.Match[str]) -> str:
    letter = normalize("NFC", loose["letter"].replace("ı", "i") + _ACCENTS[loose["accent"]])
    return letter if len(letter) == 1 else loose[0]


def _seen(data: bytes, n_pages: int) -> Iterator[str]:
    """Each page as pdfium sees it, by the places of its letters; nothing where it cannot."""
    import pypdfium2

    try:
        with closing(pypdfium2.PdfDocument(data)) as document:
            for number in range(n_pages):
                with closing(document[number]) as page, closing(page.get_textpage()) as text:
                    yield text.get_text_range().replace("\r\n", "\n").replace(_BROKEN_WORD, "-\n")
    except (pypdfium2.PdfiumError, IndexError):
        yield from repeat("")


def _parted(drawn: str, seen: str) -> str:
    """What was drawn, or what is seen of a page, or of a line, where that has the same letters in many more words.

    Files of TeX draw no blanks: words stand apart by distances alone, which pypdf takes for the spacing of letters. pdfium
    parts `--all` and `a-b` where a font is narrow, so blanks count between letters alone.
    """
    if abs(len(_letters(seen)) - len(_letters(drawn))) <= _ASTRAY * len(drawn) and _many_more(seen, drawn, _IN_PAGE):
        return seen
    lines = {_letters(line): line for line in seen.split("\n")}
    parted = ((line, lines.get(_letters(line), line)) for line in drawn.split("\n"))
    return "\n".join(line if _many_more(line, before, _IN_LINE) else before for before, line in parted)


def _letters(text: str) -> str:
    return "".join(text.split())


def _many_more(seen: str, drawn: str, share: float) -> bool:
    return len(_BETWEEN_WORDS.findall(seen)) > share * len(_BETWEEN_WORDS.findall(drawn))


def _outline(reader: PdfReader) -> dict[int, list[_Entry]]:
    """Page -> the outline entries that point to it, in order. A broken outline is no outline."""
    by_page: dict[int, list[_Entry]] = {}

    def visit(entries: Sequence[Any], level: int) -> None:
        for entry in entries:
            if isinstance(entry, list):
                visit(entry, level + 1)
            else:
                page = (reader.get_destination_page_number(entry) or 0) + 1
                by_page.setdefault(page, []).append(_Entry(level=level, title=" ".join(str(entry.title).split())))

    try:
        visit(reader.outline, 1)
    except Exception:  # pypdf raises many kinds on damaged outlines, and the text is worth having without
        return {}
    return by_page


def _page(page: Sequence[str], number: int, entries: Sequence[_Entry], layout: Layout) -> None:
    """Cut a page at the lines that are outline entries; an entry that no line matches opens at the top."""
    lines = [" ".join(line.split()) for line in page]
    after, places = 0, list[tuple[int, int, _Entry]]()
    for entry in entries:
        first, last = _heading_lines(lines, after, entry.title)
        if last > first:
            places.append((first, last, entry))
            after = last
        else:
            layout.open(entry.level, layout.clean.line(entry.title))
    done = 0
    for first, last, entry in places:
        _paragraphs(lines[done:first], number, layout)
        layout.heading(entry.level, entry.title, page=number)
        done = last
    _paragraphs(lines[done:], number, layout)


def _heading_lines(lines: Sequence[str], after: int, title: str) -> tuple[int, int]:
    """The first one or two lines from `after` on that are the title, numbering aside; an empty range if none are."""
    wanted = _NUMBERING.sub("", title.casefold())
    for first in range(after, len(lines)):
        for last in (first + 1, first + 2):
            if _NUMBERING.sub("", " ".join(lines[first:last]).casefold()) == wanted:
                return first, last
    return after, after


def _paragraphs(lines: Sequence[str], number: int, layout: Layout) -> None:
    """A line as wide as the page's text goes on in the next one, unless that begins a list item."""
    widths = sorted(len(line) for line in lines if line)
    full = max(_NARROW, 0.75 * widths[len(widths) * 9 // 10]) if widths else 0
    paragraph, goes_on = [""], False
    for line in lines:
        if paragraph[-1] and line and goes_on and _CELLS not in line and not _MARKER.match(line):
            hyphenated = _HYPHENATED.match(paragraph[-1][-2:] + line[0])
            paragraph[-1] = paragraph[-1][:-1] if hyphenated else f"{paragraph[-1]} "
            paragraph.append(line)
        else:
            _add("".join(paragraph), number, layout)
            paragraph = [line]
        goes_on = len(line) >= full and _CELLS not in line
    _add("".join(paragraph), number, layout)


def _add(paragraph: str, number: int, layout: Layout) -> None:
    row = _CELLS in paragraph
    layout.block(paragraph, page=number, lines=row, tight=row or bool(_MARKER.match(paragraph)))


def _places(page: Sequence[str]) -> Iterator[tuple[int, _Place]]:
    """Number of a line and its place, of the first and last lines that are not empty."""
    filled = [number for number, line in enumerate(page) if line.strip()]
    for depth in range(min(_DEEP, len(filled))):
        yield filled[depth], (depth, _bare(page[filled[depth]]))
        yield filled[-1 - depth], (-1 - depth, _bare(page[filled[-1 - depth]]))


def _bare(line: str) -> str:
    return _NUMBER.sub("0", " ".join(line.casefold().split()))
