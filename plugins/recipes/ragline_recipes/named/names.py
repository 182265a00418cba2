"""Names of a text, by their capitals. Scripts without capitals have none here."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_][\w’'&-]*")
_MOST_WORDS = 6
"""Words of a name; a longer run is a headline, or shouted."""


def names_of(text: str) -> list[str]:
    """Runs of words that begin with a capital, one blank between them, each once, in order of the text.

    The first word of a sentence counts, for it may be a name; so what is found are names among others. A run of more than six
    words is cut.

    >>> names_of("Later Ada Lovelace met Charles in London. 3 ships left.")
    ['Later Ada Lovelace', 'Charles', 'London']
    """
    runs: list[list[re.Match[str]]] = []
    for word in _WORD.finditer(text):
        if not word[0][0].isupper():
            continue
        last = runs[-1] if runs else []
        if last and len(last) < _MOST_WORDS and text[last[-1].end() : word.start()] == " ":
            last.append(word)
        else:
            runs.append([word])
    found = (text[run[0].start() : run[-1].end()] for run in runs)
    return list(dict.fromkeys(name for name in found if len(name) > 1))
