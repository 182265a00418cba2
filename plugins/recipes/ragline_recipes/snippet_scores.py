"""How well snippets match those that people marked: the measures of BioASQ's task B. Pure functions.

A snippet is characters of a document. Precision, recall and F1 compare the characters of all snippets of a question with
those of the gold ones, each character of a document once. Average precision goes down the list: a snippet is right if it
shares a character with a gold one, and the sum is divided by the number of gold snippets or of snippets that may be given,
whichever is less. Written after the track's description of its measures, not after its program; its mean over
questions, MAP, and the geometric one are left to the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Span = tuple[int, int]
Snippet = tuple[str, Span]
"""doc_id, and characters of its text: the first, one past the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetScores:
    """Precision, recall and F1 over characters, and the average precision of the list; all from 0 to 1."""

    precision: float
    recall: float
    f1: float
    ap: float


def score_snippets(given: Sequence[Snippet], gold: Collection[Snippet], *, most: int = 10) -> SnippetScores:
    """The scores of snippets in rank order against gold ones. Nothing given scores 0.

    >>> score_snippets([("d", (0, 10)), ("e", (0, 5))], [("d", (5, 15))])
    SnippetScores(precision=0.3333333333333333, recall=0.5, f1=0.4, ap=1.0)

    Args:
        most: snippets of the list that count, as many as the track takes.
    Raises:
        ValueError: there is no gold snippet.
    """
    if not gold:
        raise ValueError("score_snippets: there is no gold snippet, so there is nothing to measure")
    given = given[:most]
    ours, theirs = _characters(given), _characters(gold)
    both = sum(len(characters & theirs.get(doc_id, set())) for doc_id, characters in ours.items())
    n_ours, n_theirs = (sum(map(len, side.values())) for side in (ours, theirs))
    return SnippetScores(
        precision=both / n_ours if n_ours else 0.0,
        recall=both / n_theirs,
        f1=2 * both / (n_ours + n_theirs),
        ap=_average_precision(given, theirs, n=min(len(set(gold)), most)),
    )


def _average_precision(given: Sequence[Snippet], theirs: Mapping[str, set[int]], *, n: int) -> float:
    right = 0
    total = 0.0
    for rank, (doc_id, span) in enumerate(given, start=1):
        if not theirs.get(doc_id, set()).isdisjoint(range(*span)):
            right += 1
            total += right / rank
    return min(1.0, total / n)


def _characters(snippets: Collection[Snippet]) -> dict[str, set[int]]:
    """doc_id -> the places of all characters of its snippets."""
    places: dict[str, set[int]] = {}
    for doc_id, span in snippets:
        places.setdefault(doc_id, set()).update(range(*span))
    return places
