"""Does what reads the texts know their language?"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from rag.ingest.common_words import SHOWN, seeming_language
from rag.models.table import PACKAGED
from retrievers.analyzer_settings import EACH
from retrievers.index.settings import IndexSettings, leg_kind

log = logging.getLogger(__name__)


_LOOKED_AT = 100
"""Texts that are looked at for their language, evenly over all."""


def warn_of_language(
    settings: IndexSettings, legs: Sequence[str], counts: Mapping[str, int], texts: Sequence[str]
) -> None:
    """Say which models of an index were made for other languages than its texts are in.

    Args:
        counts: language -> documents, where somebody looked; the language of most of them counts.
        texts: what is indexed, by row. Where nobody looked, the language counts that most of some of them seem to be in, and
            where they show none, the analyzer's.
    """
    told = _most(counts) or _most(_seen(texts)) or settings.analyzer.language
    if told == EACH:
        return
    foreign = [
        f"{name} ({leg}, for {', '.join(known.languages)})"
        for leg in legs
        for name, _ in leg_kind(leg).wanted_models(settings)
        if (known := PACKAGED.get(name)) and known.languages and told not in known.languages
    ]
    if foreign:
        log.warning(
            "the texts are in '%s', and these models were made for other languages: %s. In hybrid searches vectors count for "
            "the part of the texts that their model was made for, here next to nothing. Name a multilingual encoder, or let "
            "rag weigh say what each list is worth",
            told,
            "; ".join(foreign),
        )


def _most(counts: Mapping[str, int]) -> str:
    return max(counts, key=lambda code: counts[code], default="")


def _seen(texts: Sequence[str]) -> Counter[str]:
    """Language -> texts, of some of them; none where so few show one that the rest says more."""
    looked_at = range(0, len(texts), max(1, len(texts) // _LOOKED_AT))
    shown = Counter(filter(None, (seeming_language(texts[row]) for row in looked_at)))
    return shown if shown.total() >= SHOWN * len(looked_at) else Counter()
