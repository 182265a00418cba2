"""What the dense leg is to an index: settings, encoding, building, opening, matching."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.contents import beside
from rag.core.filters import readers_of
from rag.core.memory import Need
from rag.core.types import Population, Where
from rag.ingest.settings import ReadSettings
from rag.models.table import PACKAGED
from retrievers.encoders.by_language import BY_LANGUAGE
from retrievers.legs.dense.by_size import AUTO, BY_SIZE, Size, by_size
from retrievers.legs.dense.settings import AsBuilt, DenseSettings, ServedEncoderSettings
from retrievers.legs.dense.with_encoder import WithEncoder, is_served, remade
from retrievers.legs.model_leg import model_differences
from retrievers.legs.protocol import (
    FIT,
    MADE_BY,
    Before,
    Built,
    Choice,
    Difference,
    Facts,
    Job,
    LegKind,
    LegMaker,
    LegRuler,
    LegVectors,
    Mask,
    Opening,
    Sections,
    VectorsElsewhere,
    explicit_differences,
)
from retrievers.legs.takes_encoder import TakesEncoder
from retrievers.stores.vectors import Hits

if TYPE_CHECKING:
    from retrievers.encoders.sentence_encoder import SentenceEncoder
    from retrievers.legs.beside import Beside
    from retrievers.legs.dense.elsewhere import DenseElsewhere
    from retrievers.legs.dense.encode_units import PreviousVectors
    from retrievers.legs.dense.leg import DenseLeg
    from retrievers.legs.dense.search import DenseSearch
    from retrievers.legs.dense.server_encoder import ServedEncoder
    from retrievers.stores.computed import Columns, Compute
    from retrievers.stores.moments import Moments

    def _keeps_the_protocol(leg: LocalDense) -> DenseSearch:
        return leg


N_BLANK = "n_blank"
"""The fact that says how many rows have no word, where there are some: of pictures that nobody says a word of."""
_BLOCK = 8192
_ENCODED = "encoded.npy"
"""Vectors as the encoder gave them: beside a leg that does not keep them exactly, for the next build alone."""


def _encoded(leg: str) -> str:
    """The same of a leg by its name."""
    return _ENCODED if leg == DenseKind.name else f"{leg}.{_ENCODED}"


class DenseKind(TakesEncoder, LegKind):
    """One vector of every text, by a sentence encoder."""

    name = "dense"
    section = "dense"
    encoder_field = "encoder"
    settings = DenseSettings
    joins = True
    graph = "hybrid"
    sizes: ClassVar[Sequence[Size]] = BY_SIZE
    """What `structure: auto` chooses from."""

    def maker(self, settings: Sections) -> LegMaker:
        reading, dense = cast(ReadSettings, settings.section("reading")), settings.section(self.section)
        return DenseMaker(
            cast(DenseSettings, dense), sizes=self.sizes, apart=reading.own_statistics, languages=reading.languages
        )

    def open(self, opening: Opening) -> LocalDense:
        from retrievers.legs.dense.leg import DenseLeg

        if opening.rows is None:
            leg = DenseLeg.open(opening.folder, opening.facts)
        else:
            leg = DenseLeg.open_chain(opening.folders, opening.facts, opening.rows)
        return LocalDense(leg, opening.facts, opening.mask)

    def why_whole(self, facts: Facts) -> str:
        from retrievers.legs.dense.leg import DenseLeg

        return DenseLeg.why_whole(facts)

    def why_together(self, settings: Sections) -> str:
        from retrievers.stores import STRUCTURES

        dense = cast(DenseSettings, settings.section(self.section))
        if dense.structure == AUTO:
            return "structure: auto may lay vectors out by all of them; choose flat and float32"
        if STRUCTURES.get(dense.structure)().exact(dense.storage):
            return ""
        return f"vectors as {dense.structure}, {dense.storage} are laid out by all of them; choose flat and float32"

    def block_encoder(self, made_by: Facts) -> Compute:
        from retrievers.legs.dense.encode_units import encode_block

        return partial(encode_block, remade(made_by))

    def merge(self, opening: Opening, folder: Path) -> dict[str, Any]:
        from retrievers.legs.dense.leg import DenseLeg

        assert opening.rows is not None  # there is nothing to merge of one part
        DenseLeg.merge(opening.folders, opening.facts, opening.rows, folder)
        return dict(opening.facts)

    def why_no_vectors(self, settings: Sections) -> str:
        from retrievers.legs.dense.elsewhere import why_no_vectors

        return why_no_vectors(cast(DenseSettings, settings.section(self.section)))

    def as_vectors(self, leg: LocalDense) -> LegVectors:
        from retrievers.legs.dense.elsewhere import MOMENTS, STRUCTURES

        return LegVectors(
            between=lambda first, last: list(leg.vectors(np.arange(first, last))),
            dim=leg.dim,
            exact=STRUCTURES[leg.structure],
            files={MOMENTS: lambda: leg.moments().packed()},
        )

    def open_elsewhere(self, vectors: VectorsElsewhere, facts: Facts) -> DenseElsewhere:
        from retrievers.legs.dense.elsewhere import DenseElsewhere

        return DenseElsewhere(vectors, facts)

    def begins_with(self, leg: LocalDense, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        return leg.vectors(rows)

    def differences(self, wanted: Sections, built: Sections, facts: Facts) -> Iterator[Difference]:
        as_built = AsBuilt(built, self.section, facts)
        if isinstance(cast(DenseSettings, wanted.section(self.section)).encoder, ServedEncoderSettings) or is_served(
            facts
        ):
            return as_built.explained(explicit_differences(self.section, wanted, as_built))
        differences = model_differences(self.section, wanted, as_built, facts, model="encoder", dtype="compute")
        return as_built.explained(differences)

    def memory(self, facts: Facts, n_bytes: int) -> list[Need]:
        from retrievers.encoders.sentence_encoder import SentenceEncoder

        made_by, dim = facts[MADE_BY], int(facts["dim"])
        own = [
            Need(what="vectors", n_bytes=n_bytes, mapped=True),
            Need(what="sums over vectors", n_bytes=8 * dim * (dim + 1)),
        ]
        if is_served(facts):
            return own
        encoder = SentenceEncoder(model=made_by["name"], revision=made_by["revision"], compute=made_by["compute"])
        return [*own, *encoder.memory()]

    def model_names(self, facts: Facts) -> list[tuple[str, str | None]]:
        made_by = facts.get(MADE_BY)
        return [(str(made_by["name"]), made_by.get("revision"))] if made_by and not is_served(facts) else []

    def health(self, leg: LocalDense) -> list[str]:
        name = leg.encoder.describe()["name"]
        if leg.served:
            return [f"its encoder {name} is served, and gives the vectors that it gave"]
        return [f"its encoder {name} is here, with the same weights"]


@dataclass(slots=True)
class DenseMaker(LegMaker):
    """A dense leg to be. `sizes`: what `structure: auto` chooses from. `apart`: nothing may be told of all texts together.

    `languages`: whether each text's is told.
    """

    settings: DenseSettings
    _encoder: SentenceEncoder | ServedEncoder | None = None
    sizes: Sequence[Size] = BY_SIZE
    apart: bool = False
    languages: bool = False

    @property
    def encoder(self) -> SentenceEncoder | ServedEncoder:
        """Finds its folder when it is first asked, and loads its weights at the first text."""
        from retrievers.encoders.sentence_encoder import SentenceEncoder

        settings = self.settings
        if self._encoder is None and isinstance(settings.encoder, ServedEncoderSettings):
            from retrievers.legs.dense.server_encoder import ServedEncoder

            self._encoder = ServedEncoder(settings.encoder)
        elif self._encoder is None:
            self._encoder = SentenceEncoder(
                model=str(settings.encoder),
                revision=settings.revision,
                compute=settings.compute,
                encoding=settings.encoding,
            )
        return self._encoder

    @property
    def _is_served(self) -> bool:
        """Whether a server has the model; then that decides how many texts it reads at a time."""
        return isinstance(self.settings.encoder, ServedEncoderSettings)

    def describe(self) -> dict[str, Any]:
        return self.encoder.describe()

    def key(self) -> dict[str, Any]:
        said = self.settings.model_dump(mode="json")
        return said if self.settings.encoder == BY_LANGUAGE else said | {"encoder": self.describe()}

    def same_as(self, before: Facts) -> bool:
        encoder = self.encoder
        if self._is_served:
            return cast("ServedEncoder", encoder).same_as(before)
        return encoder.describe() == before

    def ruler(self) -> LegRuler | None:
        if self._is_served:
            return None
        described = self.describe()
        facts = {"kind": "encoder tokens", **{key: described[key] for key in ("name", "weights_sha256")}}
        encode = partial(self.encoder.encode, role="document")
        return LegRuler(facts=facts, spans=self.encoder.spans, encode=encode)

    def choice(self, facts: Facts) -> Choice | None:
        if self.settings.structure != AUTO:
            return None
        return by_size(self.sizes, rows=int(facts["rows"]), dim=int(facts["dim"]))

    def build(self, job: Job) -> Built:
        from retrievers.legs.dense.by_language import Languages
        from retrievers.legs.dense.encode_units import encode_units
        from retrievers.legs.dense.leg import DenseLeg
        from retrievers.stores.computed import in_this_process

        start = perf_counter()
        _require_room(job.work, n=len(job.texts), dim=self.encoder.dim)
        encoded = encode_units(
            job.texts,
            encoder=self.encoder,
            work=job.work,
            reuse=_reuse(job.before, job.folder.name),
            apply=in_this_process if self._is_served else job.apply,
            compute=partial(self._encode_beside, job.beside) if job.beside else None,
            progress=job.progress,
        )
        seconds = perf_counter() - start
        blank = _blank(job)
        encoded.vectors[blank] = 0  # of no words there is nothing to be near to
        rows, dim = encoded.vectors.shape
        choice = self.choice({"rows": rows, "dim": dim})
        settings = self.settings.model_copy(update=dict(choice.facts)) if choice else self.settings
        languages = None
        if self.languages:
            languages = Languages.of(job.languages, partial(self.encoder.encode, role="document"))
        facts = DenseLeg.build(
            encoded.vectors, job.folder, settings=settings, languages=languages, progress=job.progress
        )
        if settings.storage != "float32":
            np.save(job.folder.parent / _encoded(job.folder.name), encoded.vectors)
        if job.apply is in_this_process and (fit := self._fit(job.texts, encoded.vectors)) is not None:
            facts[FIT] = fit
        if len(blank):
            facts[N_BLANK] = len(blank)
        counts = {"n_encoded": encoded.n_encoded, "n_reused_vectors": encoded.n_reused}
        return Built(facts=facts, counts=counts, seconds={"encode": seconds})

    def reading(self) -> Mapping[str, Any] | None:
        from retrievers.encoders.sentence_encoder import SentenceEncoder

        return self.encoder.reading() if isinstance(self.encoder, SentenceEncoder) else None

    def _encode_beside(self, beside: Sequence[Beside], texts: list[str]) -> Columns:
        """The vectors of a shard, while other legs see what they are made of."""
        from retrievers.encoders.sentence_encoder import SentenceEncoder
        from retrievers.legs.beside import seen_by

        assert isinstance(self.encoder, SentenceEncoder)
        with seen_by(beside, texts) as seen:
            return {"vector": self.encoder.encode(texts, role="document", seen=seen)}

    def _fit(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> float | None:
        """How well the encoder reads the texts, where nothing else says for which languages it was made."""
        from retrievers.legs.own_sentences import fit_by_own_sentences

        if self.apart or self._is_served or self.describe()["name"] in PACKAGED:
            return None
        return fit_by_own_sentences(texts, vectors, lambda some, role: self.encoder.encode(some, role=role))


class LocalDense(WithEncoder):
    """Searches vectors on disk."""

    def __init__(self, leg: DenseLeg, facts: Facts, mask: Mask) -> None:
        super().__init__(facts, mask)
        self._leg = leg

        self._has_blank = bool(facts.get(N_BLANK))

    def __len__(self) -> int:
        return len(self._leg)

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._leg.dim

    def search(self, vectors: NDArray[np.float32], *, k: int, where: Where | None = None) -> Hits:
        """See `DenseLeg.search`. A document without a word is no hit."""
        return self._leg.search(vectors, k=k, mask=self._worded(self._mask(where)))

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows), dim]: the vectors of these rows, as exact as the leg keeps them."""
        return self._leg.vectors(rows)

    def scores(
        self, query: NDArray[np.float32], rows: NDArray[np.integer[Any]], *, where: Where | None = None
    ) -> NDArray[np.float32]:
        """float32 [len(rows)]: what `search` gives these rows for a query vector; without a word, what all others come to."""
        scores = self._leg.scores(query, rows)
        if self._has_blank and not all(worded := self._words[np.asarray(rows)]):
            scores[~worded] = self.population(query, where=where).mean
        return scores

    def population(self, query: NDArray[np.float32], *, where: Where | None = None) -> Population:
        """What inner products with a query vector come to over all that whoever asks may read, and that has words."""
        return self._leg.population(query, among=self._worded(self._mask(readers_of(where))))

    def _worded(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Rows of a mask that have words."""
        if not self._has_blank:
            return mask
        return self._words if mask is None else mask & self._words

    @cached_property
    def _words(self) -> NDArray[np.bool_]:
        """bool [n]: rows whose vector is not all zeros."""
        blocks = (np.arange(start, min(start + _BLOCK, len(self))) for start in range(0, len(self), _BLOCK))
        return np.concatenate([self._leg.vectors(rows).any(axis=1) for rows in blocks])

    def moments(self) -> Moments:
        """The sums that populations are told by, for whoever keeps the vectors elsewhere."""
        return self._leg.moments()


def _blank(job: Job) -> NDArray[np.int64]:
    """Rows without a word, and without anything that the encoder reads: of documents that hold something else beside text."""
    if job.contents is None or next(iter(job.contents), None) is None:
        return np.zeros(0, np.int64)
    return np.array([row for row, text in enumerate(job.texts) if not text.strip() and not beside(text)], np.int64)


def _reuse(before: Before | None, leg: str) -> PreviousVectors | None:
    """All vectors of the index before, as the encoder gave them."""
    from retrievers.legs.dense.encode_units import PreviousVectors

    if before is None:
        return None
    encoded = before.file(_encoded(leg))
    if encoded is not None:
        return PreviousVectors.kept(before.texts, encoded)
    return PreviousVectors(before.texts, before.leg().vectors)


def _require_room(work: Path, *, n: int, dim: int) -> None:
    """Raise OSError ENOSPC now, not after hours of encoding, unless shards, result and leg will fit.

    The result and the leg are written through memory maps, where a full disk ends the process without a word.
    """
    work.mkdir(parents=True, exist_ok=True)
    needed = n * (3 * 4 * dim + 32) - sum(file.stat().st_blocks * 512 for file in work.iterdir())
    free = shutil.disk_usage(work).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"vectors need {needed / 1e9:,.3f} GB, {free / 1e9:,.3f} GB are free")
