"""Whether a model can read the texts of an index, told by the texts: for one that does not say its languages.

A sentence is taken out of some texts and asked for. Words find the rest of its text in many cases. A model that reads the
language finds it about as often, and one that does not far less, so the two are held against each other. Nobody judges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import log, sqrt
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.ingest import word_spans
from rag.ingest.sentences import sentences
from retrievers.encoders.sentence_folder import Role

Encode = Callable[[Sequence[str], Role], NDArray[np.float32]]
"""Texts and their role, query or document -> float32 [n, dim]."""

_AMONG = 1_000
"""Texts that a sentence is looked for among, evenly over all."""
_ASKED, _FEWEST_ASKED = 64, 32
"""Sentences, and how many there have to be, so that chance says little."""
_POWER = 3
"""Chosen on five English sets, each time without the one that was measured; on none of them was it another."""
_LEAST_WORDS = 4
"""Of a sentence that is asked, and of what is left of its text."""


def fit_by_own_sentences(texts: Sequence[str], vectors: NDArray[np.float32], encode: Encode) -> float | None:
    """How well a model finds these texts by sentences of them beside words, 0 to 1; None where too few have several.

    It is the third power of the mean reciprocal rank of the texts by the model over that by words, and 1 where the model is
    not behind.

    Args:
        vectors: float32 [n texts, dim], by the model.
    """
    rows = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), _AMONG)).round().astype(np.int64))
    among = [str(texts[row]) for row in rows]
    asked = _taken_out(among)
    if len(asked) < _FEWEST_ASKED:
        return None
    places = [place for place, _, _ in asked]
    known = np.array(vectors[rows])
    known[places] = encode([rest for _, _, rest in asked], "document")
    for place, _, rest in asked:
        among[place] = rest
    questions = [sentence for _, sentence, _ in asked]
    by_words = _reciprocal_rank(_shared(questions, among), places)
    by_model = _reciprocal_rank(encode(questions, "query") @ known.T, places)
    return round(min(1.0, by_model / by_words) ** _POWER, 2)


def _taken_out(texts: Sequence[str]) -> list[tuple[int, str, str]]:
    """Of some texts, drawn at random: its place, a sentence of it, and what is left without that."""
    chance, taken = Random(0), list[tuple[int, str, str]]()
    for place in chance.sample(range(len(texts)), len(texts)):
        text = texts[place]
        start, end = chance.choice([*sentences(text)] or [(0, 0)])
        sentence, rest = text[start:end], f"{text[:start]}{text[end:]}"
        if min(len(spans) for spans in word_spans([sentence, rest])) >= _LEAST_WORDS:
            taken.append((place, sentence, rest))
        if len(taken) == _ASKED:
            break
    return taken


def _shared(questions: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
    """float64 [n questions, n texts]: what the words that both have are worth, rare ones more, and in short texts more."""
    of_texts = [_words(text) for text in texts]
    holding = Counter(word for words in of_texts for word in words)
    worth = {word: log(1 + len(texts) / n) for word, n in holding.items()}
    return np.array(
        [
            [sum(worth[word] for word in asked & words) / sqrt(len(words) or 1) for words in of_texts]
            for asked in map(_words, questions)
        ]
    )


def _words(text: str) -> frozenset[str]:
    [spans] = word_spans([text])
    return frozenset(text[start:end].casefold() for start, end in spans)


def _reciprocal_rank(scores: NDArray[np.floating[Any]], places: Sequence[int]) -> float:
    """Mean over questions, a row each, of 1 / rank of the text at its place; texts of equal score stand before it."""
    own = scores[np.arange(len(places)), places]
    return float((1 / (scores >= own[:, None]).sum(axis=1)).mean())
