"""The language of a document, by its letters (py3langid; nothing is fetched), or as its file says it."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from rag.ingest.types import ParsedDocument

LANG = "lang"
"""The metadata key."""

_READ = 1_000
"""Characters of a document that are looked at."""
_SURE = 0.5
"""Probability below which nothing is said: of code, numbers, and a few words in no clear language."""
_FOLDED = {"wuu": "zh", "yue": "zh", "zxx": "", "und": ""}
"""Chinese is written alike by speakers of Wu and Cantonese, and an analyzer knows one; zxx is no language at all."""
_TAG = re.compile(r"([A-Za-z]{2,3})(?:[-_].*)?", re.DOTALL)


class LanguageReader:
    """Tells languages. Safe to share between threads. The model takes a second to load, at the first text, and 130 MB."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None

    def of(self, text: str) -> str:
        """The ISO 639 code of the language, two letters where there are two; empty where it is not sure."""
        start = text[:_READ]
        if not any(map(str.isalpha, start)):
            return ""
        code, probability = self._loaded().classify(start)
        return _FOLDED.get(code, str(code)) if probability >= _SURE else ""

    def told(self, document: ParsedDocument) -> dict[str, str]:
        """What the document's metadata lacks of its language. What its file says of that stays."""
        code = "" if code_of(document.metadata) else self.of(document.text)
        return {LANG: code} if code else {}

    def describe(self) -> list[str]:
        """What its answers depend on, as JSON."""
        from importlib.metadata import version

        return ["py3langid", version("py3langid")]

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                from py3langid.langid import MODEL_FILE, LanguageIdentifier

                self._model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
            return self._model


def code_of(metadata: Mapping[str, Any]) -> str:
    """The language that metadata says, without country or script; empty where it says none.

    >>> code_of({"lang": "de-AT"}), code_of({"lang": "Deutsch"}), code_of({})
    ('de', '', '')
    """
    said = metadata.get(LANG)
    match = _TAG.fullmatch(said) if isinstance(said, str) else None
    return match[1].lower() if match else ""
