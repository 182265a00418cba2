"""An answer says what is so, not which passage says it: openings such as "In passage [1]," go, and commas before the end.

Pure, and for text that comes in pieces. Openings are known in English: elsewhere what follows them stands in another order.
"""

from __future__ import annotations

import regex

_MARKER = r"\[[\d ,;]{1,20}\]"
_NAMED = rf"(?:the )?(?:passage|source)(?: number)?[ \t]*(?:\**({_MARKER})\**|\d{{1,2}})"
_SAYS = r"(?:states?|says?|mentions?|explains?|indicates?|notes?|shows?|specifies|describes?) that"
_BEFORE = r"(?:in|from|according to|based on|as (?:stated|said|mentioned) in)"
_OPENING = regex.compile(rf"(?i)(?:{_BEFORE} {_NAMED},|{_NAMED} {_SAYS})[ \t]+(\S)")
_START = regex.compile(rf"(?:\A|\n|[.!?]\**(?:[ \t]*\**{_MARKER}\**)*[ \t])[ \t]*(?=\S)")
_OPENED = regex.compile(rf"({_START.pattern}){_OPENING.pattern}")
_BOLD = regex.compile(rf"\*\*({_MARKER})\*\*")
_DANGLING = regex.compile(rf"[ \t]*[,;，、]((?:[ \t]*{_MARKER})+[ \t]*(?=\n|\Z)|[ \t]*\Z)")
_MARKERS = r"(?:[ \t]*\*{0,2}(?:\[[\d ,;]{0,20}\]?\*{0,2})?){0,8}[ \t]*"
_UNSETTLED = regex.compile(rf"(?:[ \t]*[,;，、]{_MARKERS}|\*{{1,2}}{_MARKERS}|[ \t]+)\Z")
_FENCE = "```"


class Tidier:
    """Tidies a text that arrives in pieces. What is handed out, joined, does not depend on how the text was cut up."""

    def __init__(self) -> None:
        self._text, self._given = "", 0

    def add(self, piece: str) -> str:
        """What is settled after one more piece."""
        self._text += piece
        return self._hand_out(_tidied(self._text[: _settled(self._text)]))

    def finish(self) -> str:
        """What was held back. The model has ended."""
        return self._hand_out(tidy(self._text))

    def _hand_out(self, tidied: str) -> str:
        piece, self._given = tidied[self._given :], max(self._given, len(tidied))
        return piece


def tidy(text: str) -> str:
    """A whole text, tidied. The marker of an opening goes to the end, if there is no other.

    >>> tidy("In passage [2], you can get a refund."), tidy("Ada Lovelace, [1]")
    ('You can get a refund. [2]', 'Ada Lovelace [1]')
    """
    tidied, marker = _tidied(text), regex.search(_MARKER, text)
    return f"{tidied.rstrip()} {marker[0]}" if marker and not regex.search(_MARKER, tidied) else tidied


def _tidied(text: str) -> str:
    parts = text.split(_FENCE)  # fenced code stays
    for n in range(0, len(parts), 2):
        opened = _OPENED.sub(lambda found: found[1] + found[4].upper(), parts[n])
        parts[n] = _DANGLING.sub(r"\1", _BOLD.sub(r"\1", opened))
    return _FENCE.join(parts)


def _settled(text: str) -> int:
    """Up to where nothing changes whatever follows."""
    starts = (start.end() for start in _START.finditer(text))
    begun = next((at for at in starts if _OPENING.fullmatch(text, at, partial=True)), len(text))
    unsettled = _UNSETTLED.search(text)
    return min(begun, unsettled.start() if unsettled else begun)
