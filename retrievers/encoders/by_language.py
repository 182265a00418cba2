"""Which packaged encoder an index takes where nobody names one: by the languages of its texts."""

from __future__ import annotations

from collections.abc import Mapping

BY_LANGUAGE = "auto"
"""In place of a model's name: the packaged encoder for the languages that texts are in when an index is first built."""
ENGLISH, MULTILINGUAL = "all-minilm-l6-v2", "multilingual-e5-small"
_OF_ANOTHER = 0.1
"""Share of texts in other languages from which on English alone does not do."""


def encoder_for(seen: Mapping[str, int]) -> str:
    """The encoder for texts in these languages, code -> texts. That for English where none shows one, as code does not."""
    others = sum(n for code, n in seen.items() if code != "en")
    return MULTILINGUAL if others > _OF_ANOTHER * sum(seen.values()) else ENGLISH
