"""Numbers of a Markdown page, with where they stand: cells of tables by row and place, others by their sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_NUMBER = re.compile(
    r"(?<![\w.,@#/\-])[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+(?:e-?\d+)?|\d+)%?(?![\w%]|-\w|\.\d|,\d)"
)
_CODE = re.compile(
    r"<!-- table: .*?<!-- end -->|^```.*?^```|^~~~.*?^~~~|<!--.*?-->|^\[[^\]]*\]:.*$", re.DOTALL | re.MULTILINE
)
_INLINE = re.compile(r"`[^`]*`|95% intervals?|\[95%\]|\bp < \.\d+|\]\([^)]*\)|\barXiv [\d., ]+|https?://\S+")
_HEADING = re.compile(r"#{1,6} +(.*)")
_SENTENCE = re.compile(r"(?<=[.;:])\s+(?=[A-Z*`(\[])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number as it is written. `half`: half a unit of its last place."""

    text: str
    value: float
    half: float

    @property
    def is_whole(self) -> bool:
        """Without sign, point or per cent."""
        return re.fullmatch(r"[\d,]+", self.text) is not None

    @property
    def digits(self) -> int:
        """Significant ones."""
        return len(re.sub(r"e.*|\D", "", self.text).lstrip("0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`rows`: the numbers of each cell. `labels`: the first cells, whose numbers say what a row is of."""

    header: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[tuple[tuple[Number, ...], ...], ...]


@dataclass(slots=True, kw_only=True)
class Section:
    """What stands below one heading. `text`: as it is written, code with it. `sentences`: all but code and cells."""

    heading: str
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)


def numbers(text: str) -> tuple[Number, ...]:
    """The numbers of a text, in its order.

    >>> [each.text for each in numbers("of 1,190 it gains +.025 [-.009, 0.041], 42.8% with E5 of 1.5B on 2026-11-30")]
    ['1,190', '+.025', '-.009', '0.041', '42.8%']
    """
    return tuple(_number(found[0]) for found in _NUMBER.finditer(_INLINE.sub(" ", text)))


def sections(page: str) -> Iterator[Section]:
    """The sections of a page, in its order; what stands before the first heading is of one without a name."""
    section, block = Section(heading=""), list[str]()
    for line in [*_CODE.sub(" ", page).splitlines(), "# "]:
        heading = _HEADING.match(line)
        is_row = line.startswith("|")
        if block and (heading or not line.strip() or line.startswith("- ") or is_row != block[-1].startswith("|")):
            _add(section, block)
            block = []
        if heading or line == "# ":
            yield section
            section = Section(heading=line.lstrip("# "), sentences=[line])
        elif line.strip():
            block.append(line)
        section.text += line + "\n"


def _number(text: str) -> Number:
    mantissa, _, power = text.rstrip("%").replace(",", "").partition("e")
    scale = 10.0 ** int(power or 0)
    return Number(text=text, value=float(mantissa) * scale, half=0.5 * 10.0 ** -len(mantissa.partition(".")[2]) * scale)


def _add(section: Section, block: list[str]) -> None:
    if not block[0].startswith("|"):
        section.sentences += _SENTENCE.split(" ".join(" ".join(block).split()))
        return
    header, _, *rows = [tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip())[1:-1]) for row in block]
    labels = tuple(row[0] if len(rows) > 1 else "" for row in rows)
    cells = [
        tuple(() if label and not at else numbers(cell) for at, cell in enumerate(row))
        for label, row in zip(labels, rows, strict=True)
    ]
    section.sentences += [*header, *(label for label in labels if re.search("[A-Za-z]", label))]
    section.tables.append(Table(header=header, labels=labels, rows=tuple(cells)))
