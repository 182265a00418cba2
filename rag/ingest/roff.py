"""The words of a roff line: escapes to characters, fonts and sizes taken off, arguments told apart."""

from __future__ import annotations

import re

_NAMED = {
    "em": "—", "en": "–", "hy": "-", "bu": "•", "co": "©", "rg": "®", "tm": "™", "lq": "“", "rq": "”", "oq": "‘",
    "cq": "’", "aq": "'", "dq": '"', "rs": "\\", "ha": "^", "ti": "~", "ga": "`", "at": "@", "sh": "#", "Do": "$",
    "ba": "|", "lB": "[", "rB": "]", "lC": "{", "rC": "}", "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "<-": "←",
    "mu": "×", "+-": "±", "de": "°", "sc": "§", "Fo": "«", "Fc": "»", "la": "⟨", "ra": "⟩", "pl": "+", "mi": "-",
    "eq": "=", "sq": "□", "ss": "ß", ":a": "ä", ":o": "ö", ":u": "ü", ":A": "Ä", ":O": "Ö", ":U": "Ü", "'e": "é",
    "'a": "á", "`e": "è", "`a": "à", "~n": "ñ", ",c": "ç", "/o": "ø", "oa": "å", "Aq": "'", "C+": "C++",
}  # fmt: skip
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


def words(text: str) -> str:
    """A text without its escapes."""
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def arguments(text: str) -> list[str]:
    """What stands behind a macro: words, and quoted texts, without their escapes."""
    return [words(match[1].replace('""', '"') if match[2] is None else match[2]) for match in _ARGUMENT.finditer(text)]


def _character(match: re.Match[str]) -> str:
    if code := match["code"]:
        return chr(int(code)) if 31 < int(code) < 0x110000 else ""
    name = match["two"] or match["long"] or match["string"]
    if name is not None:
        if _CODE_POINT.fullmatch(name) and int(name[1:], 16) < 0x110000:
            return chr(int(name[1:], 16))
        return _NAMED.get(name, "")
    return _ONE.get(match["one"] or "", "")
