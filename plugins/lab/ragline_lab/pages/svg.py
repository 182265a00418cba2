"""Pictures as SVG text, coloured by the classes of the page that they stand in. Knows no files.

Colours are `c0` to `c7`, told apart by people who see few colours. What a class looks like, on light and on dark paper, is
said in the page.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from ragline_lab.pages.document import escaped

COLOURS = 8


def picture(title: str, width: float, height: float, drawn: Sequence[str]) -> str:
    """The frame around what is drawn. `title`: what the picture shows, for those who hear it."""
    head = f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{escaped(title)}">'
    return "\n".join([head, *drawn, "</svg>"])


def line_of_text(x: float, y: float, text: str, anchor: str, *, full: str = "", look: str = "") -> str:
    """A line of text; `full` is told where somebody points at it, if it is more than the text."""
    title = f"<title>{escaped(full)}</title>" if full and full != text else ""
    named = f' class="{look}"' if look else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(text)}{title}</text>'


def legend(names: Iterable[tuple[str, int]], *, across: bool = False) -> str:
    """What colours stand for, as a list beside a picture, or `across` the page below it."""
    keys = "".join(
        f'<li><i class="c{colour % COLOURS}"></i><span>{escaped(name)}</span></li>' for name, colour in names
    )
    return f'<ul class="legend{" across" if across else ""}">{keys}</ul>'


def fitted(text: str, width: float) -> str:
    """The text, cut where it would be wider than so many pixels at the size of the pictures.

    >>> fitted("bm25", 60), fitted("a-very-long-name-of-a-system", 60)
    ('bm25', 'a-very-…')
    """
    if width_of(text) <= width:
        return text
    room = width - width_of("…")
    for place, character in enumerate(text):
        room -= width_of(character)
        if room < 0:
            return text[: max(1, place)] + "…"
    return text


def width_of(text: str) -> float:
    """About how wide a text is at the size of the pictures, in pixels."""
    return sum(map(_width_of_letter, text))


def _width_of_letter(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 12.0
    return 8.8 if character.isupper() or character in "mw+%@" else 6.7
