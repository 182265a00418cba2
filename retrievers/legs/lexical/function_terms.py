"""What words that only hold a question together weigh in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from retrievers.analysis.analyzer import Analysis
from retrievers.analysis.function_words import function_words, function_words_of, question_language
from retrievers.legs.lexical.near_words import Near


def weighed_down(
    analysis: Analysis, text: str, terms: Mapping[str, float], *, to: float
) -> tuple[Mapping[str, float], frozenset[str]]:
    """The terms of a question with those of its function words weighed down, and which these are.

    Only the times that a term is a function word weigh less, so `it` beside `IT` counts once in full. Where a question has
    nothing but function words, they are what it asks for, and all stays as it is.

    Args:
        terms: how often the question has each. `to`: what a function word weighs, 1 for as much as any.
    """
    if to == 1:
        return terms, frozenset()
    held = Counter(analysis.terms(" ".join(function_words(text, analysis.languages))))
    rest = {term: max(0.0, n - held[term]) for term, n in terms.items()}
    if not any(rest.values()):
        return terms, frozenset()
    weighed = {term: left + to * (terms[term] - left) for term, left in rest.items()}
    return weighed, frozenset(term for term in terms if held[term])


def near_weighed_down(analysis: Analysis, text: str, near: Sequence[Near], *, to: float) -> list[Near]:
    """The same for what is searched for misspelt words: `wich` is one that only holds a question together too."""
    if to == 1 or not near:
        return [*near]
    codes = analysis.languages
    code = question_language(text, codes) or (codes[0] if len(codes) == 1 else "")
    held = {*analysis.terms(" ".join(function_words_of(code)))}
    return [each._replace(weight=each.weight * to) if each.near in held else each for each in near]
