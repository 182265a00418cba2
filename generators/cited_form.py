"""The form of an answer with citations: sentences that end in numbers of passages that exist, or the refusal alone.

One regular expression of the kind that all engines read: no look-around, no back-references, no Unicode classes. After a
full stop only a marker may follow, or what goes on without a blank, as in "3.5" and "node.js"; so no next sentence begins,
and the answer does not end, before the marker is written. Lists, lines that end in a colon, code in backticks and fenced
code are possible. Brackets outside of code are markers alone.

What it lets through: a sentence without a marker whose last word is an initial or an abbreviation ("in the U.S. It"), and
one that the limit of tokens cuts off.
"""

from __future__ import annotations

import re
from functools import cache

_STOP = ".!?…。！？"
_CLOSER = r"""["'”’»)*_]"""
_CODE = r"`[^`\n]{1,120}`"
_PART = rf"(?:[^\s\[\]`{_STOP}]|``|{_CODE}|[{_STOP}]{{1,3}}[a-z0-9])"
_SHORT = "Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Mt|vs|cf|ca|approx|e\\.g|i\\.e|Gen|Col|Lt|Gov|Sen|Rep|Rev|Capt|Fig|Vol"
_WORD = rf"(?:{_PART}+|[(\"“]?(?:(?:{_SHORT})\.|(?:[A-Z]\.)+))"
_WORDS = rf"{_WORD}(?: {_WORD})*"
_ITEM = r" {0,4}(?:[-*•]|[0-9]{1,2}[.)]) "
_FENCED = r"```[a-z]{0,12}\n[^`]*```"


@cache
def cited_form(n: int, refusal: str) -> str:
    """The expression for answers from `n` passages. An empty refusal is none.

    >>> import regex
    >>> form = cited_form(2, "I don't know")
    >>> [bool(regex.fullmatch(form, text)) for text in ("Steel. [1]", "Steel [1], not 3.5 tin [2].", "Steel.", "Tin [3].")]
    [True, True, False, False]
    """
    marker = rf"(?: ?\[(?:{'|'.join(map(str, range(1, n + 1)))})\]){{1,3}}"
    part = rf"{_WORDS}(?: ?[{_STOP}]{{1,3}}{_CLOSER}{{0,3}}{marker}|{marker}{_CLOSER}{{0,3}}[,;:{_STOP}]?)"
    line = rf"(?:{_ITEM})?{part}(?: {part})*"
    leading = rf"(?:(?:{_ITEM})?{_WORDS}:\*{{0,2}}|{_FENCED})"
    text = rf"(?:(?:{line}|{leading})\n{{1,2}})*{line}"
    return rf"(?:{_literal(refusal)}\.?|{text})" if refusal else text


def _literal(text: str) -> str:
    return re.sub(r"([\\.^$|?*+()\[\]{}])", r"\\\1", text.rstrip(". "))
