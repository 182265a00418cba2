"""Verdicts by the words that a sentence of an answer shares with the passages."""

from __future__ import annotations

from collections.abc import Sequence

from rag.stages.checks.checker import REFUSAL, SentenceChecker, Unsupported, Weighed
from rag.stages.checks.claims import Claim, not_copied
from rag.stages.cite import overlap, says_nothing

_MOST_HALVED = 2


class WordsChecker(SentenceChecker):
    """Tells of every sentence whether a passage has words like its own.

    A sentence is `similar` to the passage that has the largest share of its content words, weighted by their rarity; below
    the threshold it is `unsupported`. A number or name that no passage has halves the share, a second one again. Words see
    neither a negation nor a paraphrase, so it never says more than similar.

    Args:
        threshold: least share of a sentence's content words, from 0 to 1; the default is what `benchmarks.verdicts` chose.
        unsupported: what becomes of an answer with unsupported sentences. tell leaves it as it is, drop leaves the sentences
            out, refuse refuses the whole.
        refusal: the words of a refusal.
    """

    by = "words"

    def __init__(self, *, threshold: float = 0.35, unsupported: Unsupported = "tell", refusal: str = REFUSAL) -> None:
        super().__init__(threshold=threshold, unsupported=unsupported, refusal=refusal)

    def weigh(self, claims: Sequence[Claim]) -> list[Weighed]:
        """The share of each claim's words that a passage has; one without content words is not judged."""
        return [self._shares(claim) for claim in claims]

    def _shares(self, claim: Claim) -> Weighed:
        exact = 0.5 ** min(len(not_copied(claim)), _MOST_HALVED)
        return Weighed(
            support={place: exact * overlap(claim.text, each.full_text) for place, each in enumerate(claim.passages)},
            judged=not says_nothing(claim.text),
        )
