"""The leg `sounds`: a vector of each recording of a document by what is to be heard in it, where words of the same meaning have
theirs; and what finds them. It is that of pictures with another tower, and stands in an index whose graph names it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rag.filters import WhereData
from rag.indexes import Index, Opening, Sections
from rag.types import Query
from rag.writing import Recipe
from ragline_media.leg.kind import PicturesKind, PicturesSettings
from ragline_media.leg.leg import PicturesLeg
from ragline_media.leg.retriever import PicturesRetriever
from ragline_media.questions import NOISE, noises_of
from ragline_media.sound.network import SoundTower


class SoundsSettings(PicturesSettings):
    """What hears sounds, and in whose space words find them."""

    tower: str = Field(
        default="", description="What hears sounds: a file of a network such as YAMNet (TensorFlow Lite)."
    )
    names: str = Field(default="", description="A table of its classes (CSV), with a column `display_name`.")
    projector: str | None = Field(
        default=None,
        description="A folder with what was fitted on pairs of sounds and captions; unset: sounds are told by classes.",
    )


class SoundsKind(PicturesKind):
    """A vector of each recording of a document."""

    name = "sounds"
    section = "sounds"
    settings = SoundsSettings
    comes_with: ClassVar[frozenset[str]] = frozenset()
    found_by = "retrieve.sounds"
    of: ClassVar[str] = "sound"

    def open(self, opening: Opening) -> PicturesLeg:
        return SoundsLeg(opening)

    def wanted_models(self, settings: Sections) -> list[tuple[str, str | None]]:
        return super().wanted_models(settings)[1:]

    def _tower(self, said: PicturesSettings) -> SoundTower:
        own = cast(SoundsSettings, said)
        return SoundTower(own.tower, own.names)


class SoundsLeg(PicturesLeg):
    """Over all parts of an index. Words find in it without the network; it is for sounds that are new."""

    @cached_property
    def tower(self) -> SoundTower:
        """What hears sounds. Asked, it has to be the one that the leg was built with."""
        made = self._made_by
        return SoundTower(made["tower"], made["names"], sha256=made["tower_sha256"])

    def heard(self, noises: Sequence[bytes]) -> NDArray[np.float32] | None:
        """float32 [dim]: where sounds are in the space of texts, in their mean; None for none of them.

        Raises:
            SpecError: one is no sound that is read here, or the network is not the one of the index.
        """
        return self.space(self.tower.features(noises)).mean(0) if noises else None


class SoundsRetriever(PicturesRetriever):
    """Recordings in which what a question says is to be heard, by inner product, in the space of the index's text encoder.

    What is said in them does not count. A question may have a sound in it, of kind `noise`, with words or alone. One with a picture
    in it is answered by its words.

    Args:
        index: the index that the pipeline is bound to.
        leg: name of the leg that is searched, where the index has several of this kind.
        where: a filter that holds beside the query's own.
    """

    leg: str = "sounds"
    holds: ClassVar[str] = "sound"
    reads = frozenset({"text", NOISE})
    recipe: ClassVar[Recipe | None] = None

    def __init__(self, *, index: Index, leg: str = leg, where: WhereData | None = None) -> None:
        super().__init__(index=index, leg=leg, where=where)

    def _seen(self, query: Query) -> NDArray[np.float32] | None:
        return cast(SoundsLeg, self._leg).heard(noises_of(query))
