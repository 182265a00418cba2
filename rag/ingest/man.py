"""Manual pages, in the macros of man and of mdoc: sections as headings, options with what they mean.

The page is not typeset: nothing is run, no file is read, and macros that it defines itself are passed over. A file
that is no manual page, such as a log called `.1`, is plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rag.ingest import plain
from rag.ingest.clean import decoded
from rag.ingest.columns import NAME
from rag.ingest.layout import Layout
from rag.ingest.stretches import lines
from rag.ingest.types import Note, ParsedDocument

_PAGE = re.compile(rb"^(?:[.']\s*(?:TH|Dd|Dt|so)\s)", re.MULTILINE)
_SAMPLE = 1 << 16
_LONGEST = 10_000
"""Characters of a line that goes on in the next one."""
_JOINED = frozenset({"BR", "RB", "IR", "RI", "BI", "IB"})
_SPACED = frozenset({"B", "I", "SM", "SB", "R", "UR", "MT", "SY", "OP"})
_PARAGRAPH = frozenset({"PP", "P", "LP", "Pp", "sp", "RS", "RE", "YS", "HP", "Bl", "El", "Ed"})
_LISTING = {"nf": True, "EX": True, "Bd": True, "TS": True, "fi": False, "EE": False, "Ed": False, "TE": False}
_MDOC = frozenset({
    "Ad", "An", "Ao", "Ac", "Ap", "Aq", "Ar", "Bo", "Bc", "Bq", "Brq", "Bx", "Cd", "Cm", "Dl", "Do", "Dc", "Dq",
    "Dv", "Em", "Er", "Ev", "Fa", "Fl", "Fn", "Ft", "Fx", "Ic", "In", "Lb", "Li", "Lk", "Ms", "Mt", "Nd", "Nm",
    "No", "Ns", "Nx", "Op", "Oo", "Oc", "Ot", "Ox", "Pa", "Pf", "Po", "Pc", "Pq", "Ql", "Qo", "Qc", "Qq", "Rv",
    "Sc", "So", "Sq", "St", "Sx", "Sy", "Tn", "Ux", "Va", "Vt", "Xo", "Xc", "Xr",
})  # fmt: skip
_CONTROL = re.compile(r"\A[.'][ \t]*([^\s\\]*)[ \t]*(.*)")
_NAMED = {
    "em": "—", "en": "–", "hy": "-", "bu": "•", "co": "©", "rg": "®", "tm": "™", "lq": "“", "rq": "”", "oq": "‘",
    "cq": "’", "aq": "'", "dq": '"', "rs": "\\", "ha": "^", "ti": "~", "ga": "`", "at": "@", "sh": "#", "Do": "$",
    "ba": "|", "lB": "[", "rB": "]", "lC": "{", "rC": "}", "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "<-": "←",
    "mu": "×", "+-": "±", "de": "°", "sc": "§", "Fo": "«", "Fc": "»", "la": "⟨", "ra": "⟩", "pl": "+", "mi": "-",
    "eq": "=", "sq": "□", "ss": "ß", ":a": "ä", ":o": "ö", ":u": "ü", ":A": "Ä", ":O": "Ö", ":U": "Ü", "'e": "é",
    "'a": "á", "`e": "è", "`a": "à", "~n": "ñ", ",c": "ç", "/o": "ø", "oa": "å", "Aq": "'", "C+": "C++",
}  # fmt: skip
"""Characters that roff has names for."""
_ESCAPE = re.compile(
    r"""\\(?:
      "[^\n]*                                  # a comment
    | f(?:\(..|\[[^\]]{0,200}\]|.)                   # a font
    | s[-+]?(?:\(\d\d|\[[^\]]{0,200}\]|\d{1,2}|'[^']{0,200}')   # a size
    | [mMFYVn][-+]?(?:\(..|\[[^\]]{0,200}\]|.)       # a colour, a register
    | [hvwloLDbXZRSAB]'[^']{0,200}'                  # a movement or a drawing
    | \*(?:\(|\[)?(?P<string>(?<=\()..|(?<=\[)[^\]]{0,200}|.)\]?
    | N'(?P<code>\d{1,7})'
    | \((?P<two>..) | \[(?P<long>[^\]]{0,200})\] | (?P<one>.)
    )""",
    re.VERBOSE,
)
_CODE_POINT = re.compile("u[0-9A-F]{4,6}")
_ONE = {"-": "-", "e": "\\", "\\": "\\", "~": " ", " ": " ", "0": " ", "'": "'", "`": "`", ".": ".", "t": " "}
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)(?:"|$)|((?:\\.|[^\s\\]|\\$)+)')


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """One document, titled as `tar(1)`."""
    if not _PAGE.search(data[:_SAMPLE]):
        yield from plain.parse(data, name, note)
        return
    page = _Page()
    for line in _without_definitions(lines(map(page.layout.clean, decoded(data, note)))):
        page.add(line)
        if page.layout.full:
            yield page.layout.stretch(name, title=page.title)
    page.end_block()
    page.layout.tell(note)
    yield page.layout.document(name, title=page.title)


def _words(text: str) -> str:
    """A text without roff's escapes: characters for names, fonts and sizes taken off."""
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _arguments(text: str) -> list[str]:
    """What stands behind a macro: words, and quoted texts, without their escapes."""
    return [_words(match[1].replace('""', '"') if match[2] is None else match[2]) for match in _ARGUMENT.finditer(text)]


def _without_definitions(all_lines: Iterable[str]) -> Iterator[str]:
    """Without bodies of macros, and of conditions: what is meant for other typesetters."""
    defining, depth, held = False, 0, ""
    for line in all_lines:
        line = held + line
        held = line[:-2] if line.endswith("\\\n") and not line.endswith("\\\\\n") else ""
        if held and len(held) < _LONGEST:
            continue
        held = ""
        macro = line[1:].split(maxsplit=1)[:1] if line[:1] in (".", "'") else []
        if defining:
            defining = not line.startswith("..")
        elif macro in (["de"], ["am"], ["ig"], ["de1"]):
            defining = True
        elif depth or macro in (["if"], ["ie"], ["el"]):
            depth = max(0, depth + line.count("\\{") - line.count("\\}"))
        else:
            yield line.rstrip("\n")


class _Page:
    """A page that grows line by line."""

    def __init__(self) -> None:
        self.layout = Layout()
        self.title = ""
        self._lines: list[str] = []
        self._listing = False
        self._name = ""

    def add(self, line: str) -> None:
        """One line of the file."""
        control = _CONTROL.match(line)
        if control is None or not line.startswith((".", "'")):
            self._text(_words(line))
        elif control[1]:
            self._macro(control[1], control[2])

    def end_block(self) -> None:
        """What is gathered becomes a block."""
        self.layout.block("\n".join(self._lines), lines=self._listing)
        self._lines = []

    def _text(self, text: str) -> None:
        if not text.strip() and not self._listing:
            self.end_block()
        else:
            self._lines.append(text.replace("\t", " | ") if self._listing else text.strip())

    def _macro(self, macro: str, rest: str) -> None:
        if macro in ("SH", "Sh", "SS", "Ss"):
            self.end_block()
            self._listing = False
            self.layout.heading(1 if macro in ("SH", "Sh") else 2, " ".join(_arguments(rest)))
        elif macro in ("TH", "Dt"):
            self.title = self.title or "{}({})".format(*[*_arguments(rest), "", ""][:2]).removesuffix("()")
        elif macro in _LISTING:
            self.end_block()
            self._listing = _LISTING[macro]
        elif macro in _PARAGRAPH or macro == "TP":
            self.end_block()
        elif macro == "IP":
            self.end_block()
            self._lines += _arguments(rest)[:1]
        elif macro == "It":
            self.end_block()
            self._lines.append(self._mdoc(_arguments(rest)) or "-")
        elif macro in _JOINED:
            self._text("".join(_arguments(rest)))
        elif macro in _SPACED:
            self._text(" ".join(_arguments(rest)))
        elif macro in _MDOC:
            self._text(self._mdoc([macro, *_arguments(rest)]))
        elif macro == "so":
            self._text(f"See {rest.strip()}")

    def _mdoc(self, parts: list[str]) -> str:
        """Words of an mdoc line, whose words may be macros."""
        said: list[str] = []
        closing = ""
        for i, part in enumerate(parts):
            before = parts[i - 1] if i else ""
            if part == "Nm" and (i + 1 == len(parts) or parts[i + 1] in _MDOC):
                said.append(self._name)
            elif part == "Op":
                said.append("[")
                closing = "]"
            elif part == "Fl" and (i + 1 == len(parts) or parts[i + 1] in _MDOC):
                said.append("-")
            elif part in _MDOC or part == "Nd":
                said += ["—"] if part == "Nd" else []
            elif before == "Fl":
                said.append(f"-{part}")
            elif said and i > 1 and parts[i - 2] == "Xr":
                said[-1] += f"({part})"
            elif part in ",.;:)" and said:
                said[-1] += part
            else:
                self._name = self._name or (part[:NAME] if before == "Nm" else "")
                said.append(part)
        return (" ".join(said) + closing).replace("[ ", "[")


def _character(match: re.Match[str]) -> str:
    if code := match["code"]:
        return chr(int(code)) if 31 < int(code) < 0x110000 else ""
    name = match["two"] or match["long"] or match["string"]
    if name is not None:
        if _CODE_POINT.fullmatch(name) and int(name[1:], 16) < 0x110000:
            return chr(int(name[1:], 16))
        return _NAMED.get(name, "")
    return _ONE.get(match["one"] or "", "")
