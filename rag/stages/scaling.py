"""Scores of a list made comparable with those of others: by the list itself, or by all documents of the index."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from rag.core.norms import FLOOR, NORMS, z_score
from rag.core.types import Population, Ranking, ScoredDocument

Norm = Literal["corpus", "min_max", "z_score", "max", "sum", "rank"]

CORPUS: Final = "corpus"
"""The norm that compares scores over the whole index. The others are `rag.core.norms.NORMS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """Scaled scores of one list. `values`: by doc_id; `absent`: what any other document gets, None where it can say nothing.

    `scores`: as the list gives them, where that is told. `beside`: documents of these that are no hits.
    """

    values: Mapping[str, float]
    absent: float | None
    scores: Mapping[str, float] = field(default_factory=dict)
    beside: Container[str] = ()

    def of(self, doc_id: str) -> float | None:
        """A document's scaled score; None where the list can say nothing of it."""
        return self.values.get(doc_id, self.absent)

    def invents(self, doc_id: str) -> bool:
        """Whether no score stands behind that, and it is not 0."""
        return bool(self.absent) and doc_id not in self.values

    def how(self, doc_id: str) -> str:
        """How it came about, in words; empty where there is nothing to say."""
        if self.invents(doc_id):
            return "no score here: counted as the lowest of this list"
        if doc_id not in self.scores:
            return ""
        said = f"{self.scores[doc_id]:.4g} is {self.values[doc_id]:+.2f} deviations from the mean of all"
        return f"no hit of this list; {said}" if doc_id in self.beside else said


def scaled_scores(ranking: Ranking, hits: Sequence[ScoredDocument], norm: Norm) -> Scaled:
    """The scores of a list, scaled. `hits`: of the list, each document once, best first."""
    own = {hit.doc_id: hit.score for hit in hits}
    absent: float | None = None
    if norm != CORPUS:
        values, absent = NORMS[norm]([*own.values()])
        return Scaled(values=dict(zip(own, values, strict=True)), absent=absent)
    known = {**ranking.other_scores, **own}
    if ranking.population is None:
        values, absent = z_score([*known.values()])
    else:
        values = over_population([*known.values()], ranking.population)
    return Scaled(
        values=dict(zip(known, values, strict=True)),
        absent=absent,
        scores=known,
        beside=ranking.other_scores,
    )


def over_population(scores: Sequence[float], population: Population) -> list[float]:
    """(s - mean) / deviation over all documents; 0 where all of them score alike."""
    if population.deviation < FLOOR:
        return [0.0] * len(scores)
    return [(score - population.mean) / population.deviation for score in scores]
