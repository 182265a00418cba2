"""How much of what was searched for a text says, by content words. Lexical: it sees no negation and no paraphrase."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+")
# fmt: off
_HOLDING = frozenset(
    {
        "about", "all", "and", "any", "are", "been", "but", "can", "could", "did", "doe", "each", "for", "from",
        "had", "has", "have", "how", "into", "its", "may", "more", "most", "much", "must", "not", "of", "one",
        "our", "out", "over", "own", "some", "such", "than", "that", "the", "their", "them", "then", "there",
        "these", "they", "thi", "those", "too", "under", "very", "was", "were", "what", "when", "where",
        "which", "who", "why", "will", "with", "would", "you", "your",
    }
)
# fmt: on
"""Words that hold a sentence together, without their last "s"."""


def shared(search: str, fact: str) -> float:
    """The share of the content words of a search that a fact has; 1 where the search has none."""
    wanted = _content(search)
    return len(wanted & _content(fact)) / len(wanted) if wanted else 1.0


def _content(text: str) -> set[str]:
    words = (word.removesuffix("s") for word in _WORD.findall(text.casefold()))
    return {word for word in words if word not in _HOLDING and (len(word) > 2 or not word.isascii() or word.isdigit())}
