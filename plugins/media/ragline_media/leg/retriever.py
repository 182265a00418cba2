"""Pictures of an index that show what a question says, or that look as its picture does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.filters import WhereData, both
from rag.indexes import Index, SentenceEncoder, encoder_of, unit
from rag.ranking import ranked, require_k
from rag.types import OK, Outcome, Population, Query, Ranking, ScoredDocument, ScorePart, Usage, Where
from rag.writing import Recipe
from ragline_media.leg.leg import PicturesLeg
from ragline_media.questions import NOISE, noises_of, pictures_of
from ragline_media.tower.fitting import spoken

_LEAST_TEXTS = 30
"""Texts from which on their mean and deviation are told."""
_WIDER = 3.0
_NEAR = 3
"""Texts that lead from a sound to pictures."""
_CAPTIONS = 10
"""Nearest pictures among which a caption is looked for."""

Composed = Literal["weighted", "rewritten", "direction"]

_EMPTY = Outcome(kind="empty", detail="the query has neither words nor a picture")


class PicturesRetriever:
    """Pictures by inner product, in the space of the index's text encoder.

    A document is as near as the nearest of its pictures. Of a question with a picture and words there are three readings:

    - weighted: a mix of both (WeiMoCIR; Wu et al., 2024, arXiv 2409.04918);
    - rewritten: the picture's caption with the words behind it, and no picture (CIReVL; Karthik et al., ICLR 2024, arXiv
      2310.09291, without a model that rewrites);
    - direction: picture and caption, both moved from the caption to that one (PDV; WACV 2026, arXiv 2502.07215).

    The caption is the text of the document with the nearest picture that whoever asks may read. Without one it is weighted.

    A sound in a question, of kind `noise`, asks as a picture does, where the index has the leg `sounds` and vectors of texts in the
    same space: by the texts nearest to it, as nothing was ever taught sounds beside pictures (LanguageBind, CoAVT).

    Args:
        index: the index that the pipeline is bound to.
        leg: name of the leg that is searched, where the index has several of this kind.
        where: a filter that holds beside the query's own.
        words: of a question with a picture, how much its words count where they are weighted: 0 is the picture alone, 1 the
            words alone.
        composed: weighted, rewritten or direction.
    """

    leg: str = "pictures"
    holds: ClassVar[str] = "picture"
    reads = frozenset({"picture", "text", NOISE})
    recipe: ClassVar[Recipe | None] = Recipe(system="WeiMoCIR", source="Wu et al., 2024, arXiv 2409.04918")

    def __init__(
        self,
        *,
        index: Index,
        leg: str = leg,
        where: WhereData | None = None,
        words: float = 0.35,
        composed: Composed = "weighted",
    ) -> None:
        if not 0 <= words <= 1:
            raise ValueError(f"retrieve.pictures: words must be from 0 to 1, got {words}")
        if composed not in get_args(Composed):
            raise ValueError(
                f"retrieve.pictures: composed must be one of {', '.join(get_args(Composed))}, got {composed!r}"
            )
        self.leg, self.words, self.composed = leg, words, composed
        self._index, self._where = index, where

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, at most `k` hits; scores are cosines. Documents without a picture are no hits."""
        require_k(k, by="retrieve.pictures")
        return [self._ranking(query, vector, k) for query, vector in zip(queries, self._vectors(queries), strict=True)]

    def scores(self, queries: Sequence[Query], doc_ids: Sequence[Sequence[str]]) -> list[list[float | None]]:
        """For each query the scores of its documents, in order. One without a picture scores the mean of the population.

        Raises:
            KeyError: a document is of another index.
        """
        found = list[list[float | None]]()
        for query, vector, ids in zip(queries, self._vectors(queries), doc_ids, strict=True):
            if vector is None or not ids:
                found.append([None] * len(ids))
                continue
            where = both(self._where, query.where)
            rows, scores = self._leg.scores(vector)
            known = dict(zip(rows.tolist(), scores.tolist(), strict=True))
            mean = self._population(vector, where).mean
            found.append([known.get(self._index.documents.row(doc_id), mean) for doc_id in ids])
        return found

    def populations(self, queries: Sequence[Query]) -> list[Population | None]:
        """For each query what its scores are held against: what the texts of the index score, in whose space pictures are.

        A picture is as near to a question as a passage of the same cosine, so both are told by one scale. Where there are too
        few texts for that, or their vectors are another encoder's, it is the pictures', three times as wide: the best of some
        pictures lies far from their mean whatever is asked.
        """
        return [
            None if vector is None else self._population(vector, both(self._where, query.where))
            for query, vector in zip(queries, self._vectors(queries), strict=True)
        ]

    def _population(self, vector: NDArray[np.float32], where: Where | None) -> Population:
        if self._shared is not None:
            of_texts: Population | None = self._index.leg("dense").population(vector, where=where)
            if of_texts is not None and of_texts.n >= _LEAST_TEXTS:
                return of_texts
        own = self._leg.population(vector, where=where)
        return replace(own, deviation=_WIDER * own.deviation)

    def explain_hits(self, query: Query, hits: Sequence[ScoredDocument]) -> list[list[ScorePart]]:
        """For each hit one part: the cosine of its nearest picture.

        Raises:
            KeyError: a hit is of another index.
        """
        for hit in hits:
            self._index.documents.row(hit.doc_id)
        asked = query.text or "the picture"
        return [
            [ScorePart(of_query=asked, of_document=self.holds, score=hit.score, how="inner product")] for hit in hits
        ]

    def _ranking(self, query: Query, vector: NDArray[np.float32] | None, k: int) -> Ranking:
        if vector is None:
            return Ranking(query=query, hits=(), source=self.leg, outcome=_EMPTY, usage=Usage())
        rows, scores = self._leg.scores(vector, where=both(self._where, query.where))
        best = np.argsort(-scores, kind="stable")[:k]
        documents = self._index.documents.many(rows[best].tolist())
        hits = ranked(
            ScoredDocument(document=document, score=float(score))
            for document, score in zip(documents, scores[best], strict=True)
        )
        return Ranking(query=query, hits=hits, source=self.leg, outcome=OK, usage=Usage(calls=1))

    def _vectors(self, queries: Sequence[Query]) -> list[NDArray[np.float32] | None]:
        """float32 [dim] of each; None of one that asks nothing."""
        texts = [spoken(query.text) for query in queries]
        asked = [place for place, text in enumerate(texts) if text]
        of_words = dict[int, NDArray[np.float32]]()
        if asked:
            of_words = dict(zip(asked, self._encoded([texts[place] for place in asked]), strict=True))
        vectors = list[NDArray[np.float32] | None]()
        for place, query in enumerate(queries):
            vectors.append(self._composed(query, texts[place], self._seen(query), of_words.get(place)))
        return vectors

    def _encoded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n, dim], of length 1: as they are where the encoder gives them so, which not every library does."""
        found: NDArray[np.float32] = self._encoder.encode(texts, role="query")
        return found if np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3) else unit(found)

    def _seen(self, query: Query) -> NDArray[np.float32] | None:
        """float32 [dim] of its pictures, in their mean, or of its sounds; None where it has none."""
        pictures = pictures_of(query, self._index)
        if not pictures:
            return self._through_texts(noises_of(query), both(self._where, query.where))
        seen: NDArray[np.float32] = self._leg.space(self._leg.tower.features(pictures)).mean(0)
        return seen

    def _through_texts(self, noises: Sequence[bytes], where: Where | None) -> NDArray[np.float32] | None:
        if not noises:
            return None
        if self._shared is None:
            raise SpecError(
                "retrieve.pictures: a sound finds pictures by vectors of texts in their space, and none are here"
            )
        texts = self._index.leg("dense")
        [rows], _ = texts.search(self._index.leg("sounds").heard(noises)[None], k=_NEAR, where=where)
        near = texts.vectors(rows[rows >= 0])
        return unit(near.mean(0, keepdims=True))[0] if len(near) else None

    def _composed(
        self, query: Query, text: str, picture: NDArray[np.float32] | None, words: NDArray[np.float32] | None
    ) -> NDArray[np.float32] | None:
        if self.composed == "weighted" or picture is None or words is None:
            return weighted(picture, words, self.words)
        if not (caption := self._caption(picture, both(self._where, query.where))):
            return weighted(picture, words, self.words)
        before, after = self._encoded([caption, edited(caption, text)])
        return after if self.composed == "rewritten" else along(picture, before, after)

    def _caption(self, picture: NDArray[np.float32], where: Where | None) -> str:
        """The text of the document with the nearest picture, of the nearest that have any; empty where none has."""
        rows, scores = self._leg.scores(picture, where=where)
        near = np.argsort(-scores, kind="stable")[:_CAPTIONS]
        texts = (spoken(document.text) for document in self._index.documents.many(rows[near].tolist()))
        return next(filter(None, texts), "")

    @property
    def _leg(self) -> PicturesLeg:
        leg: PicturesLeg = self._index.leg(self.leg)
        return leg

    @property
    def _shared(self) -> SentenceEncoder | None:
        """The encoder of the vectors of texts, where pictures lie in its space."""
        shared = encoder_of(self._index)
        same = isinstance(shared, SentenceEncoder) and shared.describe() == dict(self._leg.text_model)
        return shared if same and isinstance(shared, SentenceEncoder) else None

    @property
    def _encoder(self) -> SentenceEncoder:
        """That of the vectors of texts, where it is the same: its weights are here once then."""
        return self._shared or self._leg.encoder


Vector = NDArray[np.float32]


def weighted(picture: Vector | None, words: Vector | None, share: float) -> Vector | None:
    """(1 - share) picture + share words, both unit vectors, of unit length (WeiMoCIR, equation 1).

    0 is exactly the picture, 1 exactly the words, and one that is missing leaves the other. None where both are.
    """
    if picture is None or words is None:
        return words if picture is None else picture
    if share in (0, 1):
        return words if share else picture
    mixed: Vector = unit(((1 - share) * picture + share * words)[None])[0]
    return mixed


def along(
    picture: Vector,
    before: Vector,
    after: Vector,
    *,
    share: float = 0.25,
    of_picture: float = 1.4,
    of_words: float = 1.2,
) -> Vector:
    """(1 - share) (picture + of_picture D) + share (before + of_words D) of unit length, where D = after - before (PDV, section 3).

    With a share of 1 and `of_words` of 1 it is exactly `after`, which is CIReVL.

    Args:
        picture, before, after: unit vectors of a picture, of its caption, and of the caption as it is to be.
        share: how much the side of the words counts.
        of_picture, of_words: how far either side goes along the direction; 0 leaves it, below 0 it goes the other way.
    """
    if share == 1 and of_words == 1:
        return after
    direction = after - before
    moved = (1 - share) * (picture + of_picture * direction) + share * (before + of_words * direction)
    turned: Vector = unit(moved[None].astype(np.float32))[0]
    return turned


def edited(caption: str, words: str) -> str:
    """A caption as it is to be: with the words behind it.

    >>> edited("a red bus.", "at night")
    'a red bus, at night'
    """
    return f"{caption.rstrip(' .')}, {words}"
