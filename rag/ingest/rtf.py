"""Rich Text Format: the text of its paragraphs. Fonts, pictures, fields and everything that is not shown are left out."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rag.ingest.layout import Layout
from rag.ingest.types import Note, ParsedDocument, ReadError

_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})? ?|\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<sign>[^a-zA-Z0-9])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]|\\"
)
_LEFT_OUT = frozenset(
    b"fonttbl colortbl stylesheet listtable listoverridetable revtbl info pict object header footer headerl headerr "
    b"headerf footerl footerr footerf fldinst xmlnstbl themedata colorschememapping datastore latentstyles generator "
    b"rsidtbl filetbl mmathPr xe tc bkmkstart bkmkend atnid atnauthor annotation nonshppict objdata".split()
)
_CHARACTERS = {
    b"par": "\n", b"line": "\n", b"sect": "\n", b"page": "\n", b"tab": "\t", b"cell": " | ", b"row": "\n", b"emdash": "—",
    b"endash": "–", b"bullet": "•", b"lquote": "‘", b"rquote": "’", b"ldblquote": "“", b"rdblquote": "”",
    b"emspace": " ", b"enspace": " ", b"nestcell": " | ", b"nestrow": "\n",
}  # fmt: skip
_SIGNS = {b"~": " ", b"_": "-", b"-": "", b"\\": "\\", b"{": "{", b"}": "}", b"\n": "\n", b"\r": "\n"}
_DEEPEST = 1_000


@dataclass(frozen=True, slots=True)
class _State:
    """What a group says of the text in it. `replaced`: characters that stand behind one as a stand-in for it."""

    silent: bool = False
    replaced: int = 1


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by the file's name: rich text has no mark for headings that programs agree on.

    Raises:
        ReadError: not rich text, or nested without end.
    """
    if not data.lstrip()[:6].startswith(b"{\\rtf"):
        raise ReadError("not rich text, whatever its name says")
    layout = Layout()
    text = "".join(_text(data))
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # halves that belong together
    for paragraph in text.split("\n"):
        row = " | " in paragraph
        layout.block(paragraph.strip().removesuffix("|").rstrip(), lines=row, tight=row)
    layout.tell(note)
    return [layout.document(name)]


def _text(data: bytes) -> Iterator[str]:
    state, outer = _State(), list[_State]()
    page, skip, new = "cp1252", 0, False
    raw = bytearray()  # letters of some code pages are two bytes, each of them an escape
    place = 0
    while place < len(data):
        token = _TOKEN.match(data, place)
        assert token is not None  # the pattern takes any byte
        place = token.end()
        if token["hex"] or token["text"]:
            letters = bytes([int(token["hex"], 16)]) if token["hex"] else token["text"]
            skipped = min(skip, len(letters))
            skip -= skipped
            raw += b"" if state.silent else letters[skipped:]
            new = False
            continue
        word, brace = token["word"], token["brace"]
        if raw and (word or brace or token["sign"]):
            yield raw.decode(page, "replace")
            raw.clear()
        if brace == b"{":
            if len(outer) >= _DEEPEST:
                raise ReadError(f"nested more than {_DEEPEST:,} deep")
            outer.append(state)
        elif brace:
            state = outer.pop() if outer else state
        elif word in _LEFT_OUT or (new and token["sign"] == b"*"):
            state = replace(state, silent=True)
        elif word == b"ansicpg":
            page = _code_page(int(token["number"] or 1252))
        elif word == b"uc":
            state = replace(state, replaced=min(abs(int(token["number"] or 1)), 8))
        elif word == b"bin":
            place += max(0, int(token["number"] or 0))
        elif word == b"u" and token["number"]:
            skip = state.replaced
            yield "" if state.silent else chr(int(token["number"]) % 0x10000)
        elif not state.silent:
            yield _CHARACTERS.get(word or b"", "") or _SIGNS.get(token["sign"] or b"", "")
        new = brace == b"{"
    yield raw.decode(page, "replace")


def _code_page(number: int) -> str:
    try:
        return codecs.lookup(f"cp{number}").name
    except LookupError:
        return "cp1252"
