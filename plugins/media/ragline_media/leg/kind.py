"""What the leg `pictures` is to an index: settings, building, opening, matching."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rag.errors import SpecError
from rag.indexes import (
    LEGS,
    Built,
    Job,
    LegKind,
    LegMaker,
    Opening,
    RowsBefore,
    Sections,
    SentenceEncoder,
    rows_of_texts,
)
from rag.types import Content, Need, TextWith, beside
from ragline_media.leg.leg import PicturesLeg, write_leg
from ragline_media.tower.joint import AnyTower, JointTower, concepts_for, is_joint, tower_of
from ragline_media.tower.library_tower import LibraryTower
from ragline_media.tower.packaged import TOWER
from ragline_media.tower.space import Projector, Space

AUTO = "auto"
ENGLISH = "all-minilm-l6-v2"
"""The encoder where neither settings nor the vectors of texts name one."""


class PicturesSettings(BaseModel):
    """What sees pictures, and in whose space words find them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tower: str = Field(
        default=TOWER,
        description="What sees pictures: a packaged name, a folder of its weights, or one of a published layout.",
    )
    encoder: str = Field(
        default=AUTO,
        description="What reads questions: a packaged name, a folder or a hub id; auto is the tower itself where it reads texts,"
        " else that of the dense leg.",
    )
    projector: str | None = Field(
        default=None,
        description="A folder with what was fitted on pairs of pictures and captions; unset: pictures are told by tags.",
    )


KIND = "picture"
_BLOCK = 256


class PicturesKind(LegKind):
    """A vector of each picture of a document, where words of the same meaning have theirs."""

    name = "pictures"
    section = "pictures"
    settings = PicturesSettings
    also = ("dense",)
    comes_with: ClassVar[frozenset[str]] = frozenset({KIND})
    found_by = "retrieve.pictures"
    share = 1.5
    of: ClassVar[str] = KIND
    """Which contents it has vectors of."""

    def maker(self, settings: Sections) -> LegMaker:
        said = cast(PicturesSettings, settings.section(self.section))
        name, texts = self._encoder(settings), dict(settings.section("dense"))
        same = texts["encoder"] == name  # one encoder then, asked in one way
        how = {each: texts[each] for each in ("revision", "compute", "encoding")} if same else {}
        return PicturesMaker(said, SentenceEncoder(model=name, **how), self._tower(said), kind=self.of)

    def open(self, opening: Opening) -> PicturesLeg:
        return PicturesLeg(opening)

    def why_whole(self, facts: Mapping[str, Any]) -> str:
        return ""

    def why_together(self, settings: Sections) -> str:
        """Nothing of it depends on all documents: what scores come to is told of those that whoever asks may read."""
        return ""

    def left_open(self, settings: Sections) -> frozenset[str]:
        said = cast(PicturesSettings, settings.section(self.section))
        fixed = "encoder" in said.model_fields_set or reads_its_own(said)
        return frozenset() if fixed else frozenset({"encoder"})

    def by_languages(self, settings: Sections, seen: Mapping[str, int]) -> Mapping[str, Any]:
        said = cast(PicturesSettings, settings.section(self.section))
        if said.encoder != AUTO or reads_its_own(said):
            return {}
        of_texts = LEGS.get("dense")().by_languages(settings, seen).get("encoder")
        return {"encoder": of_texts or self._encoder(settings)}

    def memory(self, facts: Mapping[str, Any], n_bytes: int) -> list[Need]:
        described = facts["encoder"]["text"]
        encoder = SentenceEncoder(model=described["name"], revision=described["revision"], compute=described["compute"])
        return [Need(what="vectors of pictures", n_bytes=n_bytes, mapped=True), *encoder.memory()]

    def model_names(self, facts: Mapping[str, Any]) -> list[tuple[str, str | None]]:
        text = facts["encoder"]["text"]
        return [(str(text["name"]), text.get("revision"))]

    def wanted_models(self, settings: Sections) -> list[tuple[str, str | None]]:
        said = cast(PicturesSettings, settings.section(self.section))
        return [(said.tower, None), (self._encoder(settings), None)]

    def begins_with(self, leg: PicturesLeg, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        return np.asarray(leg.vectors[np.isin(leg.rows, rows)])

    def health(self, leg: Any) -> list[str]:
        return [f"its encoder {leg.encoder.describe()['name']} is here, with the same weights"]

    def _tower(self, said: PicturesSettings) -> AnyTower:
        return tower_of(said.tower)

    def _encoder(self, settings: Sections) -> str:
        """What reads questions: as settings say, else the tower itself where it can, else as those of the vectors of texts do
        where that is a model of this process."""
        said = cast(PicturesSettings, settings.section(self.section))
        if said.encoder == AUTO and reads_its_own(said):
            return said.tower
        own = said.encoder
        of_texts = dict(settings.section("dense"))["encoder"]
        found = of_texts if own == AUTO and isinstance(of_texts, str) else own
        return ENGLISH if found == AUTO else found


class PicturesMaker(LegMaker):
    """A leg to be."""

    def __init__(self, settings: PicturesSettings, encoder: SentenceEncoder, tower: AnyTower, *, kind: str) -> None:
        self.settings, self.encoder, self.tower, self.kind = settings, encoder, tower, kind

    def describe(self) -> dict[str, Any]:
        projector = {"projector_sha256": self._projector.sha256} if self._projector is not None else {}
        return {"reads": [self.kind, "text"], **self.tower.describe(), **projector, "text": self.encoder.describe()}

    def key(self) -> dict[str, Any]:
        return self.describe()

    def build(self, job: Job) -> Built:
        held = [*_held(job, self.kind)]
        texts = [_alone(sha256, self.kind) for _, sha256 in held]
        space = self.space(used=bool(texts))
        before = job.before.leg() if job.before else None

        def compute(some: list[str]) -> Mapping[str, NDArray[np.float32]]:
            assert job.contents is not None
            seen = self.tower.features([job.contents.read(beside(text)[0].sha256) for text in some])
            return {"vector": space(seen)}

        made, n_read = rows_of_texts(
            texts,
            compute,
            made_by=self.describe(),
            block=_BLOCK,
            work=job.work,
            before=None
            if before is None
            else RowsBefore(texts=[_alone(key, self.kind) for key in before.keys], row=before.row_of),
            step="look at pictures" if self.kind == KIND else f"hear {self.kind}s",
            progress=job.progress,
        )
        self.tower.release()
        vectors = np.zeros((len(held), self.encoder.dim), np.float32)
        for place, row in enumerate(made):
            vectors[place] = row["vector"]
        rows = np.array([row for row, _ in held], dtype=np.int32)
        write_leg(job.folder, rows, vectors, [sha256 for _, sha256 in held], space)
        facts = {
            "rows": len(job.texts),
            f"n_{self.kind}s": len(held),
            "dim": self.encoder.dim,
            "fitted": space.projector is not None,
        }
        return Built(facts=facts, counts={"n_seen": n_read})

    def space(self, *, used: bool = True) -> Space:
        """What brings pictures beside texts; where it is not used, without vectors of classes.

        Raises:
            SpecError: the tower's pictures and these texts lie in no one space.
        """
        self._require_one_space()
        encode = partial(self.encoder.encode, role="query")
        concepts = concepts_for(self.tower, encode if used else None, dim=self.encoder.dim)
        return Space(concepts, self._projector)

    @cached_property
    def _projector(self) -> Projector | None:
        return None if self.settings.projector is None else Projector.load(Path(self.settings.projector).expanduser())

    def _require_one_space(self) -> None:
        """Pictures and questions are to lie in one space."""
        if self._projector is not None or not isinstance(self.tower, JointTower | LibraryTower):
            return
        if not self.tower.reads_texts:
            raise SpecError(
                f"index.pictures: '{self.settings.tower}' reads no texts, so words do not find its pictures. Fit a projector"
                " (ragline_media.tower.fitting), or name another tower"
            )
        if self.encoder.model != self.settings.tower:
            raise SpecError(
                f"index.pictures: pictures of '{self.settings.tower}' lie beside its own texts, and not beside those of"
                f" '{self.encoder.model}'. Leave `encoder` out, or fit a projector"
            )


def reads_its_own(said: PicturesSettings) -> bool:
    """Whether questions are read by the tower itself."""
    return said.projector is None and is_joint(said.tower)


def _held(job: Job, kind: str) -> Iterator[tuple[int, str]]:
    """Row and sha256 of each content of a kind whose bytes are kept."""
    for row, text in enumerate(job.texts):
        for content in beside(text):
            if content.kind == kind and job.contents is not None and content.sha256 in job.contents:
                yield row, content.sha256


def _alone(sha256: str, kind: str) -> TextWith:
    """A picture as what a maker computes of: whatever is said of it, it looks the same."""
    return TextWith("", (Content(kind=kind, uri=f"sha256:{sha256}", sha256=sha256),))
