"""Does what reads the texts know their language?"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from rag.models.table import PACKAGED
from retrievers.analyzer_settings import EACH
from retrievers.index.settings import IndexSettings, leg_kind

log = logging.getLogger(__name__)


def warn_of_language(settings: IndexSettings, legs: Sequence[str], counts: Mapping[str, int]) -> None:
    """Say which models of an index were made for other languages than its texts are in.

    Args:
        counts: language -> documents, where somebody looked; the language of most of them counts, else the analyzer's.
    """
    told = max(counts, key=lambda code: counts[code], default="") or settings.analyzer.language
    if told == EACH:  # nobody looked
        return
    foreign = [
        f"{name} ({leg}, for {', '.join(known.languages)})"
        for leg in legs
        for name, _ in leg_kind(leg).wanted_models(settings)
        if (known := PACKAGED.get(name)) and known.languages and told not in known.languages
    ]
    if foreign:
        log.warning(
            "the texts are in '%s', and these models were made for other languages: %s. Over Polish and Chinese, fusions with "
            "them found less than BM25 alone. Name a multilingual encoder, search by --graph bm25, or let rag weigh say what "
            "each list is worth",
            told,
            "; ".join(foreign),
        )
