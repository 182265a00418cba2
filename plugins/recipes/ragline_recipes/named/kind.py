"""What the leg `named` is to an index: settings, building, opening, matching."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rag.indexes import Built, Job, LegKind, LegMaker, Opening, Sections, SentenceEncoder, rows_of_texts
from rag.types import Need
from ragline_recipes.named.leg import NAMES, PLACES, ROWS, VECTORS, NamedLeg
from ragline_recipes.named.names import names_of

_BLOCK = 512


class NamedSettings(BaseModel):
    """What reads names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str = Field(
        default="all-minilm-l6-v2",
        description="What reads names and the types that are asked for: a packaged name, a folder or a hub id.",
    )


class NamedKind(LegKind):
    """A vector of each name that stands in a text: an index of mentions (NERetrieve: Katz et al., 2023, arXiv 2310.14282).

    A name is a run of words with capitals (`ragline_recipes.named.names`), and is read alone, without its sentence.
    """

    name = "named"
    section = "named"
    settings = NamedSettings

    def maker(self, settings: Sections) -> LegMaker:
        said = cast(NamedSettings, settings.section(self.section))
        return NamedMaker(SentenceEncoder(model=said.encoder))

    def open(self, opening: Opening) -> NamedLeg:
        return NamedLeg(opening)

    def why_together(self, settings: Sections) -> str:
        """Nothing of it depends on all documents."""
        return ""

    def memory(self, facts: Mapping[str, Any], n_bytes: int) -> list[Need]:
        encoder = SentenceEncoder(model=facts["encoder"]["name"], revision=facts["encoder"]["revision"])
        return [Need(what="vectors of names", n_bytes=n_bytes, mapped=True), *encoder.memory()]

    def model_names(self, facts: Mapping[str, Any]) -> list[tuple[str, str | None]]:
        return [(str(facts["encoder"]["name"]), facts["encoder"].get("revision"))]

    def wanted_models(self, settings: Sections) -> list[tuple[str, str | None]]:
        return [(cast(NamedSettings, settings.section(self.section)).encoder, None)]

    def health(self, leg: Any) -> list[str]:
        return [f"its encoder {leg.encoder.describe()['name']} is here, with the same weights"]


class NamedMaker(LegMaker):
    """A leg to be."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder

    def describe(self) -> dict[str, Any]:
        return self.encoder.describe()

    def key(self) -> dict[str, Any]:
        return self.describe()

    def build(self, job: Job) -> Built:
        held = [(row, name) for row, text in enumerate(job.texts) for name in names_of(text)]
        names = list(dict.fromkeys(name for _, name in held))

        def compute(some: list[str]) -> Mapping[str, NDArray[np.float32]]:
            return {"vector": self.encoder.encode(some, role="document")}

        made, n_read = rows_of_texts(
            names,
            compute,
            made_by=self.describe(),
            block=_BLOCK,
            work=job.work,
            step="read names",
            progress=job.progress,
        )
        vectors = np.zeros((len(names), self.encoder.dim), np.float32)
        for place, row in enumerate(made):
            vectors[place] = row["vector"]
        place_of = {name: place for place, name in enumerate(names)}
        np.save(job.folder / ROWS, np.array([row for row, _ in held], np.int32))
        np.save(job.folder / PLACES, np.array([place_of[name] for _, name in held], np.int32))
        np.save(job.folder / VECTORS, vectors)
        (job.folder / NAMES).write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")
        facts = {"rows": len(job.texts), "n_names": len(names), "n_places": len(held), "dim": self.encoder.dim}
        return Built(facts=facts, counts={"n_read": n_read})
