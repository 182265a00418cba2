"""Reranking of news: how relevant, times how recent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

from rag.filters import AllOf, Condition, parse_where, parted
from rag.protocols import ChoosingLLM, Reranker
from rag.ranking import require_k
from rag.types import Document, Query, Ranking
from rag.writing import Work, require_positive
from rerankers import RERANKERS

_LEAST = 1e-4  # the reference's floor of relevance; here of both factors


class RecencyReranker:
    """Relevance times recency, as AutoCast++ ranks news for forecasts (Yan et al., ICLR 2024, arXiv 2310.01880).

    score(d) = r * g. r: the model's expected grade from 0 to 4, over 4, at least 1e-4; the paper samples several
    grades and takes their mean. g: the weight of d's age, at least 1e-4. Without a `curve` it is exp(-age / tau_days).
    A curve is what the paper learns from forecasts of a crowd: points (time from 0, `since`, to 1, `until`; weight)
    with straight lines between them and the end values beyond. A document later than `until` gets the least weight:
    it was not known then. One without a date counts as the oldest of its ranking; `undated` in the outcome counts them.

    Args:
        llm: the model that grades; it must be able to choose from a closed list.
        until: the day, or time, that ages are counted from, such as 2023-05-11. None: the question's own cut-off, the last date
            that its filter lets through, such as 'date <= 2025-10-16'; without one the newest date of the ranking.
        since: where a curve begins. None: the first date that the question's filter lets through, else the oldest of the
            ranking.
        tau_days: after so many days a document weighs 1 / e of a new one.
        curve: pairs of time and weight, times rising; in place of tau_days.
        date: the metadata field that holds a document's date, in ISO 8601.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        prompt: name or path of a prompt with the variables passage, query and labels.
        depth: how many of a ranking's first hits are reranked; the others follow with falling scores. None: all.
    """

    def __init__(
        self,
        *,
        llm: ChoosingLLM,
        until: str | None = None,
        since: str | None = None,
        tau_days: float = 30.0,
        curve: tuple[tuple[float, float], ...] | None = None,
        date: str = "date",
        max_words: int = 300,
        prompt: str = "rank_graded",
        depth: int | None = None,
    ) -> None:
        if not 0 < tau_days < math.inf:
            raise ValueError(f"rerank.recency: tau_days must be above 0, got {tau_days}")
        if curve is not None:
            times = [time for time, _ in curve]
            if not times or times != sorted(set(times)) or not all(map(math.isfinite, sum(curve, ()))):
                raise ValueError(f"rerank.recency: curve must have finite points with rising times, got {curve}")
        require_positive("rerank.recency", depth=depth)
        self.until, self.since = (_required(name, text) for name, text in (("until", until), ("since", since)))
        self.tau_days, self.curve, self.date, self.depth = tau_days, curve, date, depth
        graded = RERANKERS.get("graded")
        self._graded: Reranker = graded(llm=llm, scale="rg-s", max_words=max_words, prompt=prompt, depth=depth)

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by relevance times recency, at most `k`, best first."""
        require_k(k, by="rerank.recency")
        graded = self._graded.rerank(rankings, k=max((len(ranking.hits) for ranking in rankings), default=1) or 1)
        return [self._weighed(ranking, grades, k) for ranking, grades in zip(rankings, graded, strict=True)]

    def _weighed(self, ranking: Ranking, graded: Ranking, k: int) -> Ranking:
        if graded.outcome.kind == "fallback":  # no grades: what came back is the order that was given
            return replace(graded, hits=graded.hits[:k])
        work = Work.of(ranking, self.depth)
        work.usage = graded.usage
        work.counts.update(graded.outcome.counts)
        grades = {hit.doc_id: hit.score for hit in graded.hits}
        weights = self._weights(work.documents, work, ranking.query)
        scores = [
            max(_LEAST, grades[document.doc_id] / 4) * weight
            for document, weight in zip(work.documents, weights, strict=True)
        ]
        return work.by_score(scores, k=k)

    def _weights(self, documents: Sequence[Document], work: Work, query: Query) -> list[float]:
        """The weight of every document's age; all 1 where no document has a date."""
        dates = [parse_date(document.metadata.get(self.date)) for document in documents]
        known = [date for date in dates if date is not None]
        work.counts["undated"] += len(dates) - len(known)
        if not known:
            return [1.0] * len(documents)
        first, last = asked_between(query, self.date)
        oldest, until = min(known), self.until or last or max(known)
        since = self.since or first or oldest
        work.counts["without_cut_off"] += self.until is None and last is None
        return [max(_LEAST, self._weight(date or oldest, since, until)) for date in dates]

    def _weight(self, date: datetime, since: datetime, until: datetime) -> float:
        if date > until:
            return 0.0
        if self.curve is None:
            return math.exp(-(until - date).total_seconds() / 86400 / self.tau_days)
        whole = (until - since).total_seconds()
        return interpolated(self.curve, (date - since).total_seconds() / whole if whole > 0 else 1.0)


def asked_between(query: Query, key: str) -> tuple[datetime | None, datetime | None]:
    """The first and the last time that the query's filter lets through, as far as it says them for all that passes."""
    where = parted(parse_where(query.where)).where
    wholly = list(where.parts) if isinstance(where, AllOf) else [where]
    first: list[datetime] = []
    last: list[datetime] = []
    for each in wholly:
        if isinstance(each, Condition) and each.key == key and (date := parse_date(each.operator.value)):
            name = each.operator.name
            first += [date] if name in ("gt", "gte", "eq") else []
            last += [date] if name in ("lt", "lte", "eq") else []
    return max(first, default=None), min(last, default=None)


def interpolated(curve: Sequence[tuple[float, float]], time: float) -> float:
    """The curve's weight at `time`, on straight lines between its points, constant outside.

    >>> interpolated(((0.0, 1.0), (0.5, 3.0)), 0.25)
    2.0
    """
    for (before, low), (after, high) in pairwise(curve):
        if before <= time <= after:
            return low + (high - low) * (time - before) / (after - before)
    return curve[0][1] if time < curve[0][0] else curve[-1][1]


def parse_date(value: object) -> datetime | None:
    """A point in time from ISO 8601 text, a day meaning its beginning and no zone UTC; None for anything else."""
    try:
        date = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _required(name: str, text: str | None) -> datetime | None:
    date = None if text is None else parse_date(text)
    if text is not None and date is None:
        raise ValueError(f"rerank.recency: {name} must be a date such as 2023-05-11, got {text!r}")
    return date
