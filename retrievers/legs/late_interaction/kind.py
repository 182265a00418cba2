"""What the late interaction leg is to an index: settings, reading tokens, building, opening, matching."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.filters import readers_of
from rag.core.memory import Need
from rag.core.types import Population, ScorePart, Where
from retrievers.encoders.by_language import BY_LANGUAGE
from retrievers.legs.late_interaction.settings import LateInteractionSettings
from retrievers.legs.model_leg import ModelLeg, ModelLegKind
from retrievers.legs.protocol import RECALL, Before, Built, Facts, Job, LegMaker, Mask, Opening, Sections
from retrievers.legs.takes_encoder import TakesEncoder
from retrievers.stores.population import population_of

if TYPE_CHECKING:
    from retrievers.encoders.token_encoder import TokenEncoder
    from retrievers.legs.beside import Beside
    from retrievers.legs.late_interaction.search import Found, LateInteractionSearch
    from retrievers.legs.rows_of_texts import Rows, RowsBefore
    from retrievers.stores.computed import Columns, Compute, Row
    from retrievers.stores.residuals import Coded, ResidualCodec
    from retrievers.stores.token_store import TokenStore
    from retrievers.stores.token_vectors import TokenVectors

    def _keeps_the_protocol(leg: LocalLateInteraction) -> LateInteractionSearch:
        return leg


BLOCK = 256
"""Texts: what a killed build loses at most."""

_SAMPLE_PER_CENTROID = 32
_LARGEST_SAMPLE = 1 << 20
"""Token vectors that a codec learns from: with 384 numbers 1.6 GB at the most."""
_GROWN = 2
"""By how much a corpus may grow or shrink before its codec is learned again."""
_RECALL_AT, _RECALL_TOKENS = 10, 32
_TELLING = 1_000
"""Rows by whose scores those of all are told."""
_LEAST_SAMPLE, _MOST_SAMPLE, _MOST_SCORED = 5, 25, 1 << 23
"""Rows that recall is measured with, such that at most so many tokens are scored: about a second of a processor."""


class LateInteractionKind(TakesEncoder, ModelLegKind):
    """A vector for every token of every text, searched by the nearest token of each token of the query."""

    name = "late_interaction"
    section = "late_interaction"
    encoder_field = "model"
    settings = LateInteractionSettings
    holds = "token vectors"

    def maker(self, settings: Sections) -> LegMaker:
        return LateInteractionMaker(cast(LateInteractionSettings, settings.section(self.section)))

    def open(self, opening: Opening) -> LocalLateInteraction:
        from retrievers.stores.token_store import TokenStore

        facts = opening.facts
        store = TokenStore.read(opening.folder, n=int(facts.get("rows") or 0), turned=bool(facts.get("turned")))
        kept, said = (store.codec.dim, store.codec.bits), (facts.get("dim"), facts.get("bits"))
        if kept != said:
            raise IndexProblem(
                f"late_interaction leg '{opening.folder}' keeps {kept[0]} numbers of a vector in {kept[1]} bits each, and the "
                f"manifest says {said[0]} in {said[1]}. Build the index again"
            )
        return LocalLateInteraction(store, facts, opening.mask)

    def block_encoder(self, made_by: Facts) -> Compute:
        return partial(_encode_block, _remade(made_by))

    def model_memory(self, made_by: Facts) -> Sequence[Need]:
        from retrievers.encoders.token_encoder import TokenEncoder

        names = ("model", "revision", "dtype", "language")
        return TokenEncoder(**{name: made_by[name] for name in names}).memory()


@dataclass
class LateInteractionMaker(LegMaker):
    """A late interaction leg to be."""

    settings: LateInteractionSettings

    @cached_property
    def encoder(self) -> TokenEncoder:
        """The model; weights load at the first text."""
        from retrievers.encoders.token_encoder import TokenEncoder

        said = self.settings
        return TokenEncoder(model=said.model, revision=said.revision, dtype=said.dtype, language=said.language)

    def describe(self) -> dict[str, Any]:
        return self.encoder.describe()

    def key(self) -> dict[str, Any]:
        described = {"model": BY_LANGUAGE} if self.settings.model == BY_LANGUAGE else self.describe()
        return described | {"bits": self.settings.bits, "keeps": self.settings.dim}

    def build(self, job: Job) -> Built:
        from retrievers.legs.rows_of_texts import rows_of_texts
        from retrievers.stores.token_store import TokenStore, TokenWriter

        codec, before = self._kept(job.before, n=len(job.texts))
        rows, n_read = rows_of_texts(
            job.texts,
            partial(_encode_block, self.encoder),
            made_by=self.describe(),
            block=BLOCK,
            apply=job.apply,
            work=job.work,
            before=before,
            step="read tokens",
            progress=job.progress,
        )
        if codec is None:
            job.progress("learn codec", 0, 1)
            codec = self._learned(rows)
            job.progress("learn codec", 1, 1)
        with TokenWriter(job.folder, codec) as writer:
            left = iter(rows)
            while some := list(islice(left, BLOCK)):
                writer.add(*_coded(some, codec))
        turned = codec.axes is not None
        facts: dict[str, Any] = {
            "rows": len(job.texts),
            "n_tokens": writer.n_values,
            "dim": codec.dim,
            "bits": codec.bits,
            "turned": turned,
            "n_centroids": len(codec.centroids),
        }
        store = TokenStore.read(job.folder, n=len(job.texts), turned=turned)
        facts[RECALL] = _recall(store)
        return Built(facts=facts, counts={"n_read": n_read})

    def reading(self) -> Mapping[str, Any] | None:
        return self.encoder.reading()

    def beside(self, job: Job) -> Beside:
        from retrievers.legs.beside import Beside
        from retrievers.stores.reuse import RowsByText

        before = self._kept(job.before, n=len(job.texts))[1]
        return Beside(
            work=job.work,
            made_by=self.describe(),
            block=BLOCK,
            row=lambda ids, states: self.encoder.of_states(ids, states).astype(np.float16),
            columns=_columns,
            known=RowsByText(before.texts if before else ()).__contains__,
        )

    def _kept(self, before: Before | None, *, n: int) -> tuple[ResidualCodec | None, RowsBefore | None]:
        """The codec of the index before and its rows, as long as that is as exact and about as large."""
        from retrievers.legs.rows_of_texts import RowsBefore

        if before is None or not n <= _GROWN * len(before.texts) or not len(before.texts) <= _GROWN * n:
            return None, None
        store: TokenStore = before.leg().store
        wanted = min(self.settings.dim or self.encoder.dim, self.encoder.dim)
        if (store.codec.bits, store.codec.dim) != (self.settings.bits, wanted):
            return None, None

        def row(place: int) -> Row:
            coded = store.coded(place)
            return {"centroids": coded.centroids, "left": coded.left, "lengths": coded.lengths}

        return store.codec, RowsBefore(texts=before.texts, row=row)

    def _learned(self, rows: Rows) -> ResidualCodec:
        """From the tokens of rows that are drawn without looking, always the same."""
        from retrievers.stores.residuals import ResidualCodec, n_centroids

        n_vectors = sum(len(row["vectors"]) for row in rows)
        wanted = min(_LARGEST_SAMPLE, _SAMPLE_PER_CENTROID * n_centroids(max(1, n_vectors)))
        chosen: list[NDArray[Any]] = []
        total = 0
        for place in np.random.default_rng(0).permutation(len(rows)).tolist():
            if total >= wanted:
                break
            chosen.append(rows[place]["vectors"])
            total += len(chosen[-1])
        if not total:
            chosen = [np.eye(1, self.encoder.dim, dtype=np.float16)]  # no text has a token to learn from
        return ResidualCodec.learn(
            _whole(chosen), n_vectors=max(1, n_vectors), bits=self.settings.bits, dim=self.settings.dim
        )


def _encode_block(encoder: TokenEncoder, texts: list[str]) -> Columns:
    made = encoder.encode(texts, role="document")
    return _columns([made.row(place).astype(np.float16) for place in range(len(made))])


def _whole(vectors: Sequence[NDArray[np.float16]]) -> NDArray[np.float32]:
    """What was halved, one after the other."""
    import torch  # four times as fast as numpy

    whole: NDArray[np.float32] = torch.from_numpy(np.concatenate(vectors)).float().numpy()
    return whole


def _columns(rows: Sequence[NDArray[np.float16]]) -> Columns:
    """Rows as a block keeps them; one row at least."""
    from retrievers.stores.computed import Ragged

    return {"vectors": Ragged(np.concatenate(rows), np.cumsum([0, *map(len, rows)], dtype=np.int64))}


def _coded(rows: Sequence[Row], codec: ResidualCodec) -> tuple[Coded, list[int]]:
    """Rows as they are kept, and how many tokens each has. Some are coded already: those of the index before."""
    from retrievers.stores.residuals import Coded

    new = [row["vectors"] for row in rows if "vectors" in row]
    made = codec.encode(_whole(new)) if new else None
    parts, begin = [], 0
    for row in rows:
        if "vectors" not in row:
            parts.append(Coded(**row))
            continue
        assert made is not None
        span = slice(begin, begin + len(row["vectors"]))
        parts.append(made.at(span))
        begin = span.stop
    return Coded.joined(parts), [len(part.centroids) for part in parts]


def usual(k: int) -> tuple[int, int]:
    """Centroids for each token of the query, and candidates that are scored whole, for so many hits."""
    return 16, max(256, 4 * k)


def _recall(store: TokenStore) -> float:
    """Share of the ten rows that are truly best which a search as it is usually done finds, the row itself not counted.

    The mean over rows of the corpus, the first tokens of each as a query.
    """
    probes, rescored = usual(_RECALL_AT)
    if len(store) <= rescored:  # then all rows are scored
        return 1.0
    filled = (row for row in np.random.default_rng(0).permutation(len(store)).tolist() if store.filled[row])
    n_rows = min(_MOST_SAMPLE, max(_LEAST_SAMPLE, _MOST_SCORED // max(1, store.n_tokens)))
    asked = {row: store.vectors(row)[:_RECALL_TOKENS] for row in islice(filled, n_rows)}
    every, shares = np.flatnonzero(store.filled), []
    for (row, query), scores in zip(asked.items(), store.exact([*asked.values()]) if asked else (), strict=True):
        true = _best((every, scores[every]), row)
        found = _best(store.nearest(query, k=_RECALL_AT + 1, probes=probes, rescored=rescored), row)
        if true:
            shares.append(len(true & found) / len(true))
    return round(float(np.mean(shares)), 4) if shares else 1.0


def _best(found: tuple[NDArray[np.int64], NDArray[np.floating[Any]]], row: int) -> set[int]:
    rows, scores = found
    best: Iterable[int] = rows[np.lexsort((rows, -scores))].tolist()
    return set([each for each in best if each != row][:_RECALL_AT])


def _remade(made_by: Facts) -> TokenEncoder:
    """The model that a leg's facts describe."""
    from retrievers.encoders.token_encoder import TokenEncoder

    return TokenEncoder.from_description(made_by)


class LocalLateInteraction(ModelLeg["TokenEncoder"]):
    """See `ModelLeg`. `store`: the tokens of every text."""

    def __init__(self, store: TokenStore, facts: Facts, mask: Mask) -> None:
        super().__init__(facts, mask, made_by=_remade)
        self.store = store

    def read(self, texts: Sequence[str]) -> TokenVectors:
        """The tokens of queries."""
        return self.encoder.encode(texts, role="query")

    def search(
        self,
        query: NDArray[np.float32],
        *,
        k: int,
        probes: int | None = None,
        rescored: int | None = None,
        where: Where | None = None,
    ) -> Found:
        """See `TokenStore.search`."""
        from retrievers.legs.late_interaction.search import Found

        few, many = usual(k)
        return Found(
            *self.store.search(query, k=k, probes=probes or few, rescored=rescored or many, mask=self._mask(where))
        )

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """float64 [len(rows)]: what these rows score by all their tokens."""
        ascending, places = np.unique(rows, return_inverse=True)
        return self.store.score(query, ascending)[places]

    def population(self, query: NDArray[np.float32], *, where: Where | None = None) -> Population:
        """What scores come to over all that whoever asks may read, told by some of them."""
        among = self._mask(readers_of(where))
        rows = np.arange(len(self.store)) if among is None else np.flatnonzero(among)
        drawn = np.sort(np.random.default_rng(0).permutation(len(rows))[:_TELLING])
        scores = self.store.score(query, rows[drawn])
        told = population_of(len(scores), float(scores.sum()), float(scores @ scores))
        return replace(told, n=len(rows))

    def parts(self, query: str, rows: Sequence[int], texts: Sequence[str]) -> list[list[ScorePart]]:
        """The nearest token of each row to each token of a query."""
        read, [asked] = self.encoder.encode_named([query], role="query")
        said = self.encoder.encode_named(texts, role="document")[1]
        vectors = self.store.codec.turn(read.values)
        return [self._parts(asked, vectors, row, tokens) for row, tokens in zip(rows, said, strict=True)]

    def _parts(
        self, asked: Sequence[str], vectors: NDArray[np.float32], row: int, said: Sequence[str]
    ) -> list[ScorePart]:
        similar = vectors @ self.store.vectors(row).T
        nearest = similar.argmax(axis=1)
        pairs = zip(asked, nearest.tolist(), similar.max(axis=1).tolist(), strict=True)
        return [ScorePart(of_query=token, of_document=said[at], score=float(value)) for token, at, value in pairs]

    def warm_up(self) -> None:
        """Load the model."""
        self.read(["warm"])
