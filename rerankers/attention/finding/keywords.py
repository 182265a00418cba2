"""Queries of a document's own salient words, which stay in it: what a person types who looks for just that document.

The alternative is a title or first sentence that is cut out of its document. Then the document has fewer of the query's
words than other hits have, and heads learn the opposite of what real queries need. Words that stay avoid this.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.core.types import Document

if TYPE_CHECKING:
    from retrievers.index.protocol import Index

_WORD = re.compile(r"[^\W\d_][\w'-]+")
_SALIENT = 12  # words to draw from
_FEWEST, _MOST = 3, 6  # words of a query
_COUNTED = 2000  # units whose words are counted for rarity


class KeywordAsker:
    """Units -> a query for each, with the unit as it is; None where it has too few words."""

    def __init__(self, index: Index, chance: random.Random) -> None:
        self._chance = chance
        counted = index.documents[:_COUNTED]
        self._n = len(counted)
        self._holding = Counter(word for unit in counted for word in set(_words(unit)))

    def __call__(self, units: Sequence[Document]) -> list[tuple[str, Document] | None]:
        return [self._question(unit) for unit in units]

    def _question(self, unit: Document) -> tuple[str, Document] | None:
        words = _words(unit)
        counts = Counter(words)
        salient = sorted(counts, key=lambda word: (-counts[word] * self._rarity(word), word))[:_SALIENT]
        if len(salient) < 2 * _FEWEST:
            return None
        drawn = self._chance.sample(salient, self._chance.randint(_FEWEST, _MOST))
        places = {word: place for place, word in reversed(list(enumerate(words)))}
        return " ".join(sorted(drawn, key=places.__getitem__)), unit

    def _rarity(self, word: str) -> float:
        return math.log((self._n + 1) / (self._holding[word] + 0.5))


def _words(unit: Document) -> list[str]:
    return [word.casefold() for word in _WORD.findall(unit.full_text)]
