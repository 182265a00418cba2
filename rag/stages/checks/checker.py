"""What all checks of sentences share: a verdict for each sentence, and what becomes of an answer for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, get_args

from rag.core.arguments import require_one_of, require_share
from rag.core.types import NO_USAGE, Answer, AnswerDelta, Outcome, Usage, Verdict
from rag.stages.checks.claims import Claim, Span, claim_of, claim_spans, not_copied, without

Unsupported = Literal["tell", "drop", "refuse"]
Kind = Literal["supported", "contradicted", "unsupported", "similar"]
REFUSAL = "I don't know"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What a means found for a claim in each passage that it looked at, and what that cost.

    `support`: place of the passage, from 0 -> how much it says the claim. `against`: the same -> how much it says otherwise,
    of what is not support, 0 to 1; empty where the means cannot tell. `judged`: false where the claim has nothing that the
    means could weigh, or the means broke down.
    """

    support: Mapping[int, float]
    against: Mapping[int, float] = field(default_factory=dict)
    usage: Usage = NO_USAGE
    judged: bool = True


class SentenceChecker(ABC):
    """Gives every sentence of an answer a verdict. A subclass weighs claims against passages; all else is here.

    A sentence is supported where a passage's support reaches `threshold`, else contradicted where what speaks against it in
    one reaches `against`, else unsupported. A means that was not measured to be right says `similar` for supported, and
    does not say contradicted (`trusted`). A claim that the means cannot weigh gets no verdict, and is counted.
    """

    by: ClassVar[str]

    def __init__(
        self, *, threshold: float, against: float = 0.5, trusted: bool = False, unsupported: Unsupported, refusal: str
    ) -> None:
        require_share(f"check.{self.by}", threshold=threshold, against=against)
        require_one_of(f"check.{self.by}", get_args(Unsupported), unsupported=unsupported)
        if not any(c.isalnum() for c in refusal):
            raise ValueError(f"check.{self.by}: refusal must have words, got {refusal!r}")
        self.threshold, self.against, self.trusted = threshold, against, trusted
        self.unsupported, self.refusal = unsupported, refusal

    @abstractmethod
    def weigh(self, claims: Sequence[Claim]) -> list[Weighed]:
        """What was found for each claim, in order."""

    def check(self, answers: Sequence[Answer]) -> list[Answer]:
        """The same answers, those that a model wrote and that say something with a verdict for every sentence that has words."""
        spans = [claim_spans(answer.text) if is_written(answer) else [] for answer in answers]
        claims = [claim_of(answer, span) for answer, some in zip(answers, spans, strict=True) for span in some]
        judged = zip(claims, self.weigh(claims) if claims else (), strict=True)
        return [
            self._decided(answer, some, [next(judged) for _ in some]) if is_written(answer) else answer
            for answer, some in zip(answers, spans, strict=True)
        ]

    def check_stream(self, pieces: Iterator[AnswerDelta]) -> Iterator[AnswerDelta]:
        """With `tell` the pieces as they come, for no text changes; else the whole in one piece, once it is judged."""
        for delta in pieces:
            if delta.answer is not None:
                [answer] = self.check([delta.answer])
                if self.unsupported != "tell":
                    yield AnswerDelta(text=answer.text)
                yield AnswerDelta(answer=answer)
            elif self.unsupported == "tell":
                yield delta

    def _decided(self, answer: Answer, spans: Sequence[Span], judged: Sequence[tuple[Claim, Weighed]]) -> Answer:
        verdicts = [
            replace(self._verdict(span, each, claim.cited), not_copied=not_copied(claim))
            for span, (claim, each) in zip(spans, judged, strict=True)
            if each.judged
        ]
        counts = Counter(verdict.kind for verdict in verdicts) | Counter(
            unjudged=len(spans) - len(verdicts), not_copied=sum(bool(verdict.not_copied) for verdict in verdicts)
        )
        usage = sum((each.usage for _, each in judged), answer.usage)
        answer = replace(answer, verdicts=tuple(verdicts), usage=usage)
        bad = {(verdict.start, verdict.end) for verdict in verdicts if verdict.kind in ("unsupported", "contradicted")}
        if not bad or self.unsupported == "tell":
            return _counted(answer, counts)
        if self.unsupported == "refuse" or len(bad) == len(verdicts):
            return self._refused(answer, counts, len(bad))
        return _dropped(answer, counts, spans, bad)

    def _verdict(self, span: Span, weighed: Weighed, cited: Collection[int]) -> Verdict:
        """Of passages that are near enough one that the sentence cites is told: two numbers for one sentence would confuse."""
        marker, score = max(weighed.support.items(), key=lambda one: one[1], default=(None, 0.0))
        if marker is not None and marker not in cited:
            near = [place for place in cited if weighed.support.get(place, 0.0) >= self.threshold]
            marker = max(near, key=weighed.support.__getitem__, default=marker)
        kind: Kind = "supported" if self.trusted else "similar"
        if marker is None or score < self.threshold:
            marker, share = max(weighed.against.items(), key=lambda one: one[1], default=(None, 0.0))
            kind = "contradicted"
            if marker is None or share < self.against or not self.trusted:
                marker, kind = None, "unsupported"
        number = None if marker is None else marker + 1
        return Verdict(start=span[0], end=span[1], kind=kind, by=self.by, score=score, marker=number)

    def _refused(self, answer: Answer, counts: Mapping[str, int], bad: int) -> Answer:
        refused = replace(
            answer,
            text=f"{self.refusal.rstrip('.')}.",
            citations=(),
            verdicts=(),
            status="no_answer",
            finish_reason="stop",
        )
        what = f"refused, as {_of_its_sentences(bad, len(answer.verdicts))} not in the passages"
        return _counted(refused, {**counts, "refused": 1}, what)


def is_written(answer: Answer) -> bool:
    """Whether a model wrote an answer that says something: what was worked out is not held against passages."""
    return answer.status == "answered" and answer.context.settled is None


def _dropped(answer: Answer, counts: Mapping[str, int], spans: Sequence[Span], bad: Collection[Span]) -> Answer:
    text, moved = without(answer.text, spans, bad)
    citations = tuple(
        replace(citation, start=citation.start + by, end=citation.end + by)
        for citation in answer.citations
        for (start, end), by in moved.items()
        if start <= citation.start and citation.end <= end
    )
    verdicts = tuple(
        replace(verdict, start=verdict.start + moved[place], end=verdict.end + moved[place])
        for verdict in answer.verdicts
        if (place := (verdict.start, verdict.end)) in moved
    )
    shorter = replace(answer, text=text, citations=citations, verdicts=verdicts)
    what = f"{_of_its_sentences(len(bad), len(answer.verdicts))} not in the passages and left out"
    return _counted(shorter, {**counts, "dropped": len(bad)}, what)


def _counted(answer: Answer, counts: Mapping[str, int], changed: str = "") -> Answer:
    """The answer with these counts in its outcome; what was changed makes it `repaired`, if nothing worse is."""
    outcome = answer.outcome
    counted = {**outcome.counts, **{name: outcome.counts.get(name, 0) + n for name, n in counts.items() if n}}
    if changed and outcome.kind in ("ok", "repaired"):
        detail = f"{outcome.detail}; {changed}" if outcome.detail else changed
        return replace(answer, outcome=Outcome(kind="repaired", detail=detail, counts=counted))
    return replace(answer, outcome=replace(outcome, counts=counted))


def _of_its_sentences(bad: int, n: int) -> str:
    return f"{bad} of {n} sentence{'s' * (n > 1)} {'are' if bad > 1 else 'is'}"
