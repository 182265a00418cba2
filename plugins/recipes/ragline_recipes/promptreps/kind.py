"""What the promptreps leg is to an index: settings, reading texts, building, opening, matching."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, cast

from numpy.typing import NDArray

from rag.indexes import (
    Built,
    Job,
    LegMaker,
    ModelLegKind,
    Opening,
    Ragged,
    RowsBefore,
    Sections,
    rows_of_texts,
)
from rag.types import Need
from ragline_recipes.promptreps.encoder import BLOCK, PromptRepsEncoder, encode_block, model_of
from ragline_recipes.promptreps.leg import PromptRepsLeg, write_leg
from ragline_recipes.promptreps.settings import PromptRepsSettings


class PromptRepsKind(ModelLegKind):
    """A chat model's vector and weighted words of every text."""

    name = "promptreps"
    section = "promptreps"
    settings = PromptRepsSettings
    holds = "representations"
    graph = "hybrid-promptreps"

    def maker(self, settings: Sections) -> LegMaker:
        return PromptRepsMaker(cast(PromptRepsSettings, settings.section(self.section)))

    def open(self, opening: Opening) -> PromptRepsLeg:
        return PromptRepsLeg(opening)

    def why_whole(self, facts: Mapping[str, Any]) -> str:
        return "" if facts.get("postings") else "a promptreps leg of an older version has no postings of its own"

    def why_together(self, settings: Sections) -> str:
        return ""

    def block_encoder(self, made_by: Mapping[str, Any]) -> Callable[[list[str]], Mapping[str, NDArray[Any] | Ragged]]:
        return partial(encode_block, PromptRepsEncoder.from_description(made_by))

    def model_memory(self, made_by: Mapping[str, Any]) -> Sequence[Need]:
        needs: Sequence[Need] = model_of(made_by).memory()
        return needs

    def health(self, leg: PromptRepsLeg) -> list[str]:
        return [f"{said} and prompt" for said in super().health(leg)]


class PromptRepsMaker(LegMaker):
    """A promptreps leg to be."""

    def __init__(self, settings: PromptRepsSettings) -> None:
        self.settings = settings

    @cached_property
    def encoder(self) -> PromptRepsEncoder:
        """The chat model under its prompt; weights load at the first text."""
        return PromptRepsEncoder.from_settings(self.settings)

    def describe(self) -> dict[str, Any]:
        return self.encoder.describe()

    def key(self) -> dict[str, Any]:
        return self.describe()

    def build(self, job: Job) -> Built:
        before = None if job.before is None else RowsBefore(texts=job.before.texts, row=job.before.leg().row)
        rows, n_read = rows_of_texts(
            job.texts,
            partial(encode_block, self.encoder),
            made_by=self.describe(),
            block=BLOCK,
            apply=job.apply,
            work=job.work,
            before=before,
            step="represent",
            progress=job.progress,
        )
        return Built(facts=write_leg(rows, job.folder, n=len(job.texts)), counts={"n_represented": n_read})
