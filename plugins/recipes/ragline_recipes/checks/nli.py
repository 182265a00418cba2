"""Verdicts by a classifier that was trained to tell whether one text follows from another (natural language inference)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter

from rag.errors import SpecError
from rag.types import Usage
from rag.writing import (
    REFUSAL,
    Claim,
    PairClassifier,
    ReadsPairs,
    SentenceChecker,
    Unsupported,
    Weighed,
    most_like,
    require_positive,
)

_FOR, _AGAINST = ("entail", "support"), ("contradict", "refute")


class NLIChecker(ReadsPairs, SentenceChecker):
    """Any sequence-classification checkpoint for inference (after Honovich et al., NAACL 2022, arXiv 2204.04991).

    It reads passage and sentence as one pair. Labels go by their names in the checkpoint's id2label: one must begin with
    entail or support, and one may begin with contradict or refute. support = p(entailment), against = p(contradiction) of
    what is not entailment. A sentence is held against the passages that it cites, then those that share most words with
    it. Tests run it with random weights; no figure of a trained checkpoint is given here.

    Args:
        checkpoint: a folder, or a hub id.
        revision: commit, branch or tag of a hub model.
        device: auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.
        passages: how many passages each sentence is held against.
        threshold: least support, from 0 to 1.
        against: least share of contradiction, from 0 to 1, that makes an unsupported sentence contradicted.
        trusted: say supported and contradicted instead of similar and unsupported. Measure the checkpoint first
            (docs/answers.md).
        unsupported: what becomes of an answer with unsupported sentences. tell leaves it as it is, drop leaves the sentences
            out, refuse refuses the whole.
        refusal: the words of a refusal.
        max_tokens: tokens of passage and sentence together, or the model's own limit where that is less.
        max_batch_tokens: most tokens, padding included, that one batch holds.
    """

    by = "nli"

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str | None = None,
        device: str = "auto",
        passages: int = 3,
        threshold: float = 0.5,
        against: float = 0.5,
        trusted: bool = False,
        unsupported: Unsupported = "tell",
        refusal: str = REFUSAL,
        max_tokens: int = 512,
        max_batch_tokens: int = 8192,
    ) -> None:
        super().__init__(
            threshold=threshold, against=against, trusted=trusted, unsupported=unsupported, refusal=refusal
        )
        require_positive("check.nli", passages=passages)
        self.passages = passages
        self._classifier = PairClassifier(
            model=checkpoint,
            revision=revision,
            device=device,
            max_tokens=max_tokens,
            max_batch_tokens=max_batch_tokens,
            by="check.nli",
            parameter="checkpoint",
        )

    def weigh(self, claims: Sequence[Claim]) -> list[Weighed]:
        """Shares of entailment and contradiction for each claim; not judged where a logit is not finite."""
        looked = [most_like(claim, self.passages) for claim in claims]
        pairs = [
            (claim.passages[place].full_text, f"{claim.question} {claim.text}".strip())
            for claim, places in zip(claims, looked, strict=True)
            for place in places
        ]
        if not pairs:
            return [Weighed(support={}) for _ in claims]
        started = perf_counter()
        yes, no = self._columns()
        found = self._classifier.logits(pairs)
        seconds = (perf_counter() - started) / len(pairs)
        rows = iter(found)
        weighed: list[Weighed] = []
        for places in looked:
            support, against, usage = {}, {}, Usage()
            for place in places:
                row = next(rows)
                support[place], against[place] = _shares(row.logits, yes, no)
                usage += Usage(calls=1, prompt_tokens=row.tokens, seconds=seconds)
            sound = all(map(math.isfinite, (*support.values(), *against.values())))
            weighed.append(Weighed(support=support, against=against, usage=usage, judged=sound))
        return weighed

    def warm_up(self) -> None:
        """Load now instead of at the first call."""
        self._columns()

    def _columns(self) -> tuple[int, int | None]:
        """Which logits are entailment, and contradiction if the model has that."""
        labels = self._classifier.labels()
        yes = [n for n, label in enumerate(labels) if label.casefold().startswith(_FOR)]
        no = [n for n, label in enumerate(labels) if label.casefold().startswith(_AGAINST)]
        if len(yes) != 1 or len(no) > 1 or len(labels) < 2:
            raise SpecError(
                f"check.nli: '{self._classifier.name}' has the labels {', '.join(labels)}; one must begin with entail or"
                " support, and at most one with contradict or refute (id2label in its config.json)"
            )
        return yes[0], no[0] if no else None


def _shares(logits: Sequence[float], yes: int, no: int | None) -> tuple[float, float]:
    """p(entailment), and p(contradiction) of the rest; not finite where a logit is not."""
    weights = [math.exp(logit - max(logits)) if math.isfinite(logit) else math.nan for logit in logits]
    rest = sum(weight for label, weight in enumerate(weights) if label != yes)
    return weights[yes] / (weights[yes] + rest), weights[no] / rest if no is not None and rest else 0.0 * rest
