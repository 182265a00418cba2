"""Texts with weights -> the weighted terms that lexical legs score: the exact form of "repeat the query five times"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rag.indexes import Index


def weighted_terms(index: Index, texts: Iterable[tuple[str, float]]) -> Mapping[str, float]:
    """Term -> sum over texts of weight times occurrences, analysed as the index is.

    Nothing where the index has no lexical leg: then no leg reads terms.
    """
    if "lexical" not in index.legs:
        return {}
    analyzer = index.leg("lexical").analyzer
    weights: dict[str, float] = {}
    for text, weight in texts:
        for term in analyzer.terms(text) if weight else ():
            weights[term] = weights.get(term, 0.0) + weight
    return weights
