"""How far a leg is to be trusted over an index: how much of it is in a language that its model was made for.

Of a model that does not say its languages counts what the build measured (`retrievers.legs.own_sentences`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rag.core.filters import Where, readers_of
from rag.core.types import Document, Population
from rag.ingest.common_words import SHOWN, seeming_language
from rag.ingest.language import code_of
from rag.models.table import PACKAGED
from retrievers.index_protocol import Index
from retrievers.legs.protocol import FIT, MADE_BY
from retrievers.stores.lru_cache import Kept

logger = logging.getLogger(__name__)

_LOOKED_AT = 100
"""Documents that are looked at, evenly over all."""
_NOISE = 0.05
"""A share of foreign texts below this is of names and quotations that were taken for a language."""
_SAID = 0.5
"""Fit below which a log says so, once."""
_READERS = 1_000


class LanguageFit:
    """Of one leg of an index. Reads some documents when it is first asked. Safe to share between threads.

    Only packaged models say which languages they were made for; any other fits as well as was measured, or all.

    Args:
        by: the retriever, as a log names it.
    """

    def __init__(self, index: Index, leg: str, *, by: str) -> None:
        self._index, self._leg, self._by, self._said = index, leg, by, False
        self._kept = Kept[float](_READERS, lambda fit: 1)

    def told(self, population: Population | None, where: Where | None) -> Population | None:
        """A population with its fit: of what whoever asks by `where` may read."""
        if population is None:
            return None
        fit = self._kept.get(readers_of(where), lambda: self._fit(where))
        if fit < _SAID and not self._said:
            self._said = True
            logger.warning(
                "%s: %s; where lists are compared over the index, as by hybrid, this one has %.0f%% of its weight",
                self._by,
                f"{1 - fit:.0%} of the documents are in a language that {self._model} was not made for"
                if self._model in PACKAGED
                else f"{self._model} finds these texts by sentences of them far less often than words do",
                100 * fit,
            )
        return replace(population, fit=fit)

    @property
    def _model(self) -> str:
        made_by: Mapping[str, Any] = self._index.facts(self._leg).get(MADE_BY) or {}
        return str(made_by.get("name") or made_by.get("model") or "")

    def _fit(self, where: Where | None) -> float:
        known = PACKAGED.get(self._model)
        if known is None:
            return float(self._index.facts(self._leg).get(FIT, 1.0))
        if not known.languages:
            return 1.0
        rows = self._index.rows(readers_of(where))
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _LOOKED_AT)).round().astype(np.int64))]
        return fit_of(self._index.documents.many(chosen.tolist()), known.languages)


def fit_of(documents: Sequence[Document], made_for: Sequence[str]) -> float:
    """Part of these documents, 0 to 1, in one of these languages, ISO 639-1 codes.

    A document that shows no language, such as code, counts as the others do where enough of them show one, and else fits.
    """
    codes = [code_of(each.metadata) or seeming_language(each.index_text) for each in documents]
    known = [code for code in codes if code]
    foreign = sum(code not in made_for for code in known)
    counted = len(known) if len(known) >= SHOWN * len(codes) else len(codes)
    return 1.0 if foreign <= _NOISE * counted else 1 - foreign / counted
