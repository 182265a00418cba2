"""Words that stand on a picture: lines that OCR reads, and where each stands on it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from rag.reading import Beside, Block, Note, ReadError

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE = 2400
"""Pixels of a picture that is read; larger ones are made smaller for it."""
_CELLS = " | "
_LEAST = 3
"""Letters and digits without which nothing is taken to be read: a window frame is an I, and a wheel an O."""

_FULL, _NEAR = 0.7, 0.8
"""Of the widest row, and of the height of a row."""

_Row = list[tuple[str, tuple[int, int, int, int]]]
Line = tuple[int, int, int, int, int, int]
"""Characters of the text, from and to; left, top, right and bottom in thousandths of the picture."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a document says of a picture: what somebody said of it, and behind that what stands on it."""

    text: str = ""
    n_said: int = 0
    lines: tuple[Line, ...] = ()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What somebody said, and what was read: that is cut at line ends."""
        first = self.lines[0][0] if self.lines else len(self.text)
        said = [Block(start=0, end=self.n_said)] if self.n_said else []
        read = [Block(start=first, end=len(self.text), lines=True, ocr=True)] if self.lines else []
        return (*said, *read)

    @property
    def metadata(self) -> dict[str, bool]:
        return {"ocr": True} if self.lines else {}

    @property
    def places(self) -> dict[str, list[list[int]]]:
        """For the metadata of the content: its `lines`."""
        return {"lines": [[*line] for line in self.lines]} if self.lines else {}


def read(picture: Image, said: str, beside: Beside, note: Note) -> Read:
    """What is said of a picture, and where OCR is asked for what stands on it."""
    if beside.lines is None:
        return Read(said, len(said))
    try:
        found = _found(picture, beside)
    except (ReadError, MemoryError):
        raise
    except Exception as cause:  # what a reader of pictures raises is not told; the picture is worth having without
        note(f"OCR gave up: {type(cause).__name__}: {str(cause)[-100:]}", lost=True)
        found = []
    if sum(map(str.isalnum, chain.from_iterable(text for row in found for text, _ in row))) < _LEAST:
        return Read(said, len(said))
    text, lines = f"{said}\n\n" if said else "", list[Line]()
    widest = max(_width(row) for row in found)
    for before, row in zip([None, *found], found, strict=False):
        text += "" if before is None else "\n" if _goes_on(before, row, widest) else "\n\n"
        for place, (words, box) in enumerate(row):
            text += _CELLS if place else ""
            lines.append((len(text), len(text) + len(words), *box))
            text += words
    return Read(text, len(said), tuple(lines))


def _goes_on(before: _Row, row: _Row, widest: int) -> bool:
    """Whether a row goes on in the next one, as prose does: it is wide, and that is near. Lines of a sign stand for themselves."""
    (_, (_, top, _, bottom)), (_, (_, below, _, _)) = before[0], row[0]
    return _width(before) >= _FULL * widest and below - bottom < _NEAR * (bottom - top)


def _width(row: _Row) -> int:
    return row[-1][1][2] - row[0][1][0]


def _found(picture: Image, beside: Beside) -> list[_Row]:
    """Rows of words and their boxes."""
    import numpy as np
    from PIL import Image

    assert beside.lines is not None
    plain = Image.new("RGB", picture.size, "white")
    plain.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    plain.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    across, down = plain.size
    rows = beside.lines(np.asarray(plain))

    def part(place: float, of: int) -> int:
        return round(1000 * min(max(place, 0), of) / of)

    return [
        [
            (
                cell.text,
                (part(cell.left, across), part(cell.top, down), part(cell.right, across), part(cell.bottom, down)),
            )
            for cell in row
            if cell.text.strip()
        ]
        for row in rows
        if any(cell.text.strip() for cell in row)
    ]
