"""A kind of leg whose encoder is chosen by the languages of the texts, where nobody names one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from retrievers.encoders.by_language import BY_LANGUAGE, ENGLISH, encoder_for
from retrievers.legs.protocol import Sections


class TakesEncoder:
    """What such a kind says of its settings. Comes before `LegKind` among the classes that a kind derives from."""

    section: str
    encoder_field: ClassVar[str]
    """The setting that names the encoder."""

    def left_open(self, settings: Sections) -> frozenset[str]:
        """The encoder and its revision, where settings say nothing of it."""
        said = settings.section(self.section).model_fields_set
        return frozenset() if self.encoder_field in said else frozenset({self.encoder_field, "revision"})

    def by_languages(self, settings: Sections, seen: Mapping[str, int]) -> Mapping[str, Any]:
        """The encoder, where it is `auto`."""
        return {self.encoder_field: encoder_for(seen)} if self._named(settings) == BY_LANGUAGE else {}

    def wanted_models(self, settings: Sections) -> list[tuple[str, str | None]]:
        """The encoder; for `auto` that of English texts. None where a server has it."""
        named = self._named(settings)
        if not isinstance(named, str):
            return []
        return [(ENGLISH if named == BY_LANGUAGE else named, dict(settings.section(self.section))["revision"])]

    def _named(self, settings: Sections) -> Any:
        return dict(settings.section(self.section))[self.encoder_field]
