"""What speaks for an answer before anybody has judged it: numbers, by name. Pure functions of what a run holds.

None of them knows whether the answer is right. How much each one says is learnt from questions with known answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Answer, Context, Ranking
from rag.ingest.sentences import sentences
from rag.stages.cite import content_words
from rag.stages.markers import without_markers

_TOP = 5
"""Hits of each leg that are compared."""
_AMONG = 20
"""Hits of a leg that its best is measured against."""


def of_legs(legs: Mapping[str, Ranking]) -> dict[str, float | None]:
    """How the best hits of each leg stand out, and whether the legs agree.

    LEG.top: the best score. LEG.lead: how far it is ahead of the second, and LEG.peak: of the mean of the first 20, both in
    standard deviations of those. `agreement`: the share of the first 5 that the first two legs have in common.
    """
    signals: dict[str, float | None] = {}
    for name, ranking in legs.items():
        scores = np.array([hit.score for hit in ranking.hits[:_AMONG]], dtype=np.float64)
        spread = float(scores.std()) if len(scores) > 1 else 0.0
        signals[f"{name}.top"] = float(scores[0]) if len(scores) else None
        signals[f"{name}.lead"] = float(scores[0] - scores[1]) / spread if spread else None
        signals[f"{name}.peak"] = float(scores[0] - scores.mean()) / spread if spread else None
    if len(legs) > 1:
        one, other, *_ = ({hit.document.parent for hit in ranking.hits[:_TOP]} for ranking in legs.values())
        signals["agreement"] = len(one & other) / max(1, min(len(one), len(other)))
    return signals


def of_passages(context: Context) -> dict[str, float | None]:
    """How much of the question the passages hold.

    `question.shared`: the largest share of its content words in one sentence. `question.held`: in any passage.
    """
    texts = _texts(context)
    words, held = content_words(context.query.root.text), set[str]().union(*map(content_words, texts))
    return {
        "question.shared": _in_one_sentence(words, texts),
        "question.held": len(words & held) / len(words) if words else None,
    }


def of_meaning(question: NDArray[np.float32], sentences: NDArray[np.float32]) -> dict[str, float | None]:
    """`question.near`: the largest cosine of the question and a sentence of the passages.

    Args:
        question: float32 [dim]; `sentences`: float32 [n, dim]; all of unit norm.
    """
    return {"question.near": float((sentences @ question).max()) if len(sentences) else None}


def written(before: Mapping[str, float | None], answer: Answer) -> dict[str, float | None]:
    """What was known before an answer was written, and what the answer itself and checks of it say."""
    return {**before, **of_words(answer), **of_verdicts(answer)}


def of_words(answer: Answer) -> dict[str, float | None]:
    """What the answer itself says.

    `likelihood`: the model's own, mean log-probability of a token. `enough`: its log-odds that the passages answer the
    question. `answer.length`: log of its words. `answer.shared`: the
    largest share of its content words in one sentence of a passage; `both.shared`: of its and the question's.
    `answer.new`: of its content words, the share that is not the question's. `answer.cited`: whether the model cites a
    passage with such words. `answer.cut`: whether it was cut off.
    """
    text = without_markers(answer.text)
    words, asked = content_words(text), content_words(answer.query.root.text)
    texts = _texts(answer.context)
    return {
        "likelihood": answer.likelihood,
        "enough": answer.enough,
        "answer.length": math.log1p(len(text.split())),
        "answer.shared": _in_one_sentence(words, texts),
        "both.shared": _in_one_sentence(words | asked, texts),
        "answer.new": len(words - asked) / len(words) if words else None,
        "answer.cited": float(any(c.by == "model" and c.similar for c in answer.citations)),
        "answer.cut": float(answer.finish_reason == "length"),
    }


def of_verdicts(answer: Answer) -> dict[str, float | None]:
    """What checks before this one say: MEANS.score, the mean and MEANS.least, the lowest of their scores.

    MEANS.against: the share of sentences that a passage contradicts, or that none supports.
    """
    by_means: dict[str, list[tuple[float, bool]]] = {}
    for verdict in answer.verdicts:
        against = verdict.kind in ("contradicted", "unsupported")
        by_means.setdefault(verdict.by, []).append((verdict.score, against))
    signals: dict[str, float | None] = {}
    for means, said in by_means.items():
        signals[f"{means}.score"] = sum(score for score, _ in said) / len(said)
        signals[f"{means}.least"] = min(score for score, _ in said)
        signals[f"{means}.against"] = sum(against for _, against in said) / len(said)
    return signals


def _texts(context: Context) -> list[str]:
    return [hit.document.full_text for hit in context.passages]


def _in_one_sentence(words: set[str], texts: Sequence[str]) -> float:
    """The largest share of these words in one sentence; 0 where there are none."""
    found = (len(words & content_words(text[start:end])) for text in texts for start, end in sentences(text))
    return max(found, default=0) / len(words) if words else 0.0
