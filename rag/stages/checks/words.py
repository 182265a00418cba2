"""Verdicts by the words that a sentence of an answer shares with the passages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rag.core.types import Answer, AnswerDelta, Verdict
from rag.ingest.sentences import sentences
from rag.stages.cite import overlap
from rag.stages.markers import without_markers


class WordsChecker:
    """Tells of every sentence whether a passage has words like its own. It changes no text and refuses nothing.

    A sentence is `similar` to the passage that has the largest share of its content words, weighted by their rarity, in one
    sentence; below the threshold it is `unsupported`. Words see neither a negation nor a paraphrase, so it never says more
    than similar.

    Args:
        threshold: least share of a sentence's content words, from 0 to 1.
    """

    def __init__(self, *, threshold: float = 0.5) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"check.words: threshold must be from 0 to 1, got {threshold}")
        self.threshold = threshold

    def check(self, answers: Sequence[Answer]) -> list[Answer]:
        """The same answers, those that say something with a verdict for every sentence that has words."""
        return [self._checked(answer) if answer.status == "answered" else answer for answer in answers]

    def check_stream(self, pieces: Iterator[AnswerDelta]) -> Iterator[AnswerDelta]:
        """The pieces as they come, for no text changes; verdicts are in the whole."""
        for delta in pieces:
            yield delta if delta.answer is None else AnswerDelta(answer=self.check([delta.answer])[0])

    def _checked(self, answer: Answer) -> Answer:
        verdicts = tuple(self._verdicts(answer))
        counts = {**answer.outcome.counts}
        for verdict in verdicts:
            counts[verdict.kind] = counts.get(verdict.kind, 0) + 1
        return replace(answer, verdicts=verdicts, outcome=replace(answer.outcome, counts=counts))

    def _verdicts(self, answer: Answer) -> Iterator[Verdict]:
        passages = [hit.document.full_text for hit in answer.context.passages]
        for start, end in sentences(answer.text):
            said = without_markers(answer.text[start:end])
            if not any(c.isalnum() for c in said):
                continue
            shares = [overlap(said, passage) for passage in passages]
            best = max(range(len(shares)), key=shares.__getitem__, default=None)
            similar = best is not None and shares[best] >= self.threshold
            yield Verdict(
                start=start,
                end=end,
                kind="similar" if similar else "unsupported",
                by="words",
                score=shares[best] if best is not None else 0.0,
                marker=best + 1 if similar and best is not None else None,
            )
