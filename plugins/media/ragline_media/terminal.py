"""Pictures in a terminal, by kitty's protocol or as sixels where the terminal says that it can; and the first rows of tables."""

from __future__ import annotations

import io
import os
import re
import select
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from rag.errors import RagError
from rag.indexes import Index, contents_of, open_index
from ragline_media.figures.table import KIND as TABLE
from ragline_media.figures.table import rows_of

if TYPE_CHECKING:
    from PIL.Image import Image

ROWS = 8
"""Lines of the terminal that a picture takes, by kitty's protocol."""
PIXELS = 160
"""Height of a picture of sixels."""
TABLE_ROWS, WIDTH, CELLS = 5, 95, " | "
"""Lines of a table, and letters of a line; and what stands between two cells."""

_ASKED = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
"""Whether it shows kitty's pictures; and what it is, which every terminal answers, so nobody waits for one that knows no more."""
_ANSWERED = re.compile(rb"\x1b\[\?([\d;]*)c")
_PATIENCE_S = 0.5
_SIXEL = b"4"
_COLOURS = 64
_CHUNK = 4096

Way = Literal["kitty", "sixel", ""]


class TerminalPictures:
    """Thumbnails of pictures that indexes keep, and rows of tables.

    Args:
        indexes: their addresses, one or several.
    """

    def __init__(self, indexes: str | Sequence[str]) -> None:
        self._addresses = [indexes] if isinstance(indexes, str) else list(indexes)

    def shown(self, content: Mapping[str, Any]) -> str:
        """What is written to show one; empty of other kinds, of what nobody keeps, and of a picture where the terminal cannot."""
        kind, sha256 = content["kind"], content["sha256"]
        if kind != TABLE and (kind != "picture" or not self._way):
            return ""
        store = next((each for each in map(contents_of, self._indexes) if sha256 in each), None)
        if store is None:
            return ""
        return tabled(store.read(sha256)) if kind == TABLE else drawn(store.thumbnail(sha256), self._way)

    @cached_property
    def _way(self) -> Way:
        if not sys.stdout.isatty():
            return ""
        with suppress(OSError):
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
            try:
                return way_of(terminal)
            finally:
                os.close(terminal)
        return ""

    @cached_property
    def _indexes(self) -> list[Index]:
        opened = list[Index]()
        for address in self._addresses:
            with suppress(RagError):  # what cannot be opened here was searched elsewhere
                opened.append(open_index(address))
        return opened


def way_of(terminal: int) -> Way:
    """How a terminal shows pictures, as it says itself; empty where it says nothing of it within half a second."""
    import termios
    import tty

    try:
        before = termios.tcgetattr(terminal)
    except termios.error:
        return ""
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        os.write(terminal, _ASKED)
        said, deadline = b"", time.monotonic() + _PATIENCE_S
        while not (answered := _ANSWERED.search(said)) and (left := deadline - time.monotonic()) > 0:
            if not select.select([terminal], [], [], left)[0] or not (more := os.read(terminal, 1024)):
                break
            said += more
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
    if b"_Gi=31;OK" in said:
        return "kitty"
    return "sixel" if answered and _SIXEL in answered[1].split(b";")[1:] else ""


def tabled(data: bytes) -> str:
    """The first rows of a table, a line each, in which nothing moves the cursor; and how many there are more."""
    rows = rows_of(data)
    lines = (CELLS.join(row) for row in rows[:TABLE_ROWS])
    shown = ["".join(each if each.isprintable() else " " for each in line)[:WIDTH] for line in lines]
    more = [f"... {len(rows) - TABLE_ROWS:,} rows more"] if len(rows) > TABLE_ROWS else []
    return "".join(f"     {line}\n" for line in [*shown, *more])


def drawn(small: bytes, way: Way) -> str:
    """A thumbnail as control characters, with a line end behind it; empty where it cannot be decoded."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(small), formats=("WEBP",)) as picture:
            plain = picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""
    return "".join(_kitty(plain) if way == "kitty" else _sixel(plain)) + "\n"


def _kitty(picture: Image) -> Iterator[str]:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    letters = b64encode(stream.getvalue()).decode("ascii")
    for first in range(0, len(letters), _CHUNK):
        keys = f"a=T,f=100,q=2,r={ROWS}," if first == 0 else ""
        yield f"\x1b_G{keys}m={int(first + _CHUNK < len(letters))};{letters[first : first + _CHUNK]}\x1b\\"


def _sixel(picture: Image) -> Iterator[str]:
    """Bands of six rows, colour by colour; how often a column comes in a row is told by a number."""
    import numpy as np

    picture.thumbnail((4 * PIXELS, PIXELS))
    few = picture.quantize(_COLOURS)
    pixels, palette = np.asarray(few), few.getpalette() or []
    yield f'\x1bPq"1;1;{few.width};{few.height}'
    for colour in np.unique(pixels).tolist():
        yield f"#{colour};2;" + ";".join(str(round(part / 2.55)) for part in palette[3 * colour : 3 * colour + 3])
    for top in range(0, few.height, 6):
        band = pixels[top : top + 6]
        for colour in np.unique(band).tolist():
            columns = ((band == colour) << np.arange(len(band))[:, None]).sum(0).tolist()
            runs = ((chr(63 + bits), len([*run])) for bits, run in groupby(columns))
            yield f"#{colour}" + "".join(f"!{n}{sign}" if n > 3 else sign * n for sign, n in runs) + "$"
        yield "-"
    yield "\x1b\\"
