"""Pictures -> lines of text: pypdfium2 draws a page, rapidocr reads that or a picture with the weights of its wheel.

Both run in the process that parses, on one thread. Lines are read one by one: in batches their widths are levelled,
which costs memory without bound and garbles long lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from rag.core.optional import need
from rag.ingest.types import Cell, Limits, ReadError

OCR_VERSION = 2
"""Raised when the same picture gives other lines or boxes: indexes that were read so then read their PDF again."""
_NEEDED = ("rapidocr", "onnxruntime", "pypdfium2")
_DOTS_PER_POINT = 200 / 72
_LONGEST_SIDE = 2400  # pixels of a page: A4 at 200 dots per inch, and what bounds a page of any size
_NARROW = 40  # characters; cells no wider are a table's, wider ones are columns of prose
_TELLING, _AHEAD = 12, 200  # letters; longer cells are looked for so far ahead, behind a heading that was reworded


def require_ocr(by: str) -> None:
    """Return if pages can be read.

    Raises:
        MissingDependency: what is missing, and what to run.
    """
    for module in _NEEDED:
        need(module, by=by, extra="ocr")


class PageReader:
    """Reads pages of one PDF, at most `limits.ocr_pages` of them.

    Args:
        begins: called before each page, as it takes seconds.
    """

    def __init__(self, data: bytes, limits: Limits, begins: Callable[[], None]) -> None:
        self._data, self._left, self._begins = data, limits.ocr_pages, begins

    def lines(self, number: int) -> list[list[Cell]]:
        """Lines of a page, counted from 1, as they are read, in points; none where there are none, or enough pages were read."""
        if not self._left:
            return []
        self._left -= 1
        self._begins()
        return lines_of(*_drawn(self._data, number))


def lines_of(picture: Any, scale: float = 1.0) -> list[list[Cell]]:
    """Lines of an array of (height, width, 3) bytes, as they are read, in its pixels over `scale`; none where there are none."""
    found = _engine()(picture)
    boxes = zip(found.boxes, found.txts, strict=True) if found.boxes is not None and found.txts is not None else ()
    return in_order([Cell.of((corners.astype(float) / scale).round(1).tolist(), text) for corners, text in boxes])


def in_order(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Lines in the order of reading. Rows of a table have several cells; columns of prose come one after the other.

    >>> lines = in_order([Cell(60, 99, 0, 9, "b"), Cell(0, 40, 1, 9, "a"), Cell(0, 40, 12, 20, "c")])
    >>> [[cell.text for cell in line] for line in lines]
    [['a', 'b'], ['c']]
    """
    rows = _rows(cells)
    shared = [row for row in rows if len(row) > 1]
    prose = [row for row in shared if max(len(cell.text) for cell in row) >= _NARROW]
    if 2 * len(prose) <= len(shared):
        return rows
    gutters = sorted((left.right + right.left) / 2 for row in prose for left, right in pairwise(row))
    gutter = gutters[len(gutters) // 2]
    lines, right_side = list[list[Cell]](), list[list[Cell]]()
    for row in rows:
        if any(cell.left < gutter < cell.right for cell in row):  # over both columns, as a heading is
            lines += [*right_side, row]
            right_side = []
        else:
            lines += [[cell] for cell in row if cell.right <= gutter]
            right_side += [[cell] for cell in row if cell.left >= gutter]
    return lines + right_side


def placed(text: str, cells: Iterable[Cell]) -> Iterator[tuple[int, int, Cell]]:
    """Where each cell stands in the text that was made of them, by letters and digits. Some may have been left out of it.

    >>> cells = [Cell(0, 9, 0, 5, "7"), Cell(0, 9, 9, 14, "annual lea-"), Cell(0, 3, 15, 20, "ve")]
    >>> [(first, last) for first, last, _ in placed("annual leave", cells)]
    [(0, 10), (10, 12)]
    """
    places = [place for place, character in enumerate(text) if character.isalnum()]
    letters, after = "".join(text[place] for place in places), 0
    for cell in cells:
        wanted = "".join(filter(str.isalnum, cell.text))
        ahead = _AHEAD if len(wanted) > _TELLING else 0
        first = letters.find(wanted, after, after + len(wanted) + ahead) if wanted else -1
        if first >= 0:
            after = first + len(wanted)
            yield places[first], places[after - 1] + 1, cell


def _rows(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells beside each other, from the top, each row from the left."""
    rows: list[list[Cell]] = []
    for cell in sorted(cells, key=lambda cell: cell.top + cell.bottom):
        if rows and (cell.top + cell.bottom) / 2 < rows[-1][0].bottom:
            rows[-1].append(cell)
        else:
            rows.append([cell])
    return [sorted(row, key=lambda cell: cell.left) for row in rows]


def _drawn(data: bytes, number: int) -> tuple[Any, float]:
    """A page as an array of (height, width, 3) bytes, and its pixels a point."""
    import pypdfium2

    document = pypdfium2.PdfDocument(data)
    try:
        page = document[number - 1]
        scale = min(_DOTS_PER_POINT, _LONGEST_SIDE / max(*page.get_size(), 1))
        return page.render(scale=scale, rev_byteorder=True).to_numpy()[:, :, :3].copy(), scale
    finally:
        document.close()


@cache
def _engine() -> Any:
    """The reader with its weights, made once in a process. It is given their paths, so that it fetches nothing."""
    import cv2
    import rapidocr

    cv2.setNumThreads(1)
    folder = Path(rapidocr.__file__).parent / "models"
    weights: dict[str, str] = {}
    for part in ("Det", "Rec"):
        files = sorted(folder.glob(f"*_{part.lower()}_*.onnx"))
        if len(files) != 1:
            raise ReadError("the installed rapidocr is without its weights; install ragline[ocr] again")
        weights[f"{part}.model_path"] = str(files[0])
    return rapidocr.RapidOCR(
        params={
            **weights,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Rec.rec_batch_num": 1,
        }
    )
