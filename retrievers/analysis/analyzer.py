"""Text -> terms: what the lexical leg indexes and what it looks up. Knows no index and no scores."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Protocol

from rag.core.digests import text_sha256
from rag.core.errors import IndexMismatch
from retrievers.analysis.cjk import AS_EVER, CUT_LANGUAGES, resolved, split
from retrievers.analysis.settings import AUTO, EACH, AnalyzerSettings
from retrievers.analysis.stemming import STEMMERS, setting_of, stemmed_languages

VERSION = 1
"""Raised whenever the same settings come to give other terms."""

_STOP_WORDS = """
    a an and are as at be but by for if in into is it no not of on or such that the their then there these
    they this to was will with"""

LUCENE_STOP_WORDS = frozenset(_STOP_WORDS.split())
"""The 33 words of Lucene's EnglishAnalyzer."""

_SPACED = re.sub(r"\W", " ", "".join(map(chr, range(128))), flags=re.ASCII)
"""What stands between words of ASCII is a space: to split at spaces takes half as long as to look for words."""


class Analysis(Protocol):
    """What makes the terms of an index. Safe to share between threads."""

    @property
    def language(self) -> str:
        """The language of its documents, or their languages, for people to read."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """The same as codes."""
        ...

    def terms(self, text: str) -> list[str]:
        """The terms of a question, repetitions kept. None where no word is left."""
        ...

    def document_terms(self, text: str, language: str) -> list[str]:
        """The terms of a document in this language, an ISO 639 code; empty where it is not known."""
        ...

    def why_no_terms(self, text: str) -> str:
        """Why `terms` gives nothing for this text, for people to read."""
        ...

    def describe(self) -> dict[str, Any]:
        """All that makes the terms, as JSON data: two that describe themselves alike are alike."""
        ...


class Analyzer:
    """Words, lower-cased, stemmed, without stop words, one-letter words kept. Safe to share between threads.

    Raises:
        ValueError: the stemmer is not there for the language, or that is `each` or `auto`.
        MissingDependency: the stemmer is of a library that is not installed.
    """

    def __init__(self, settings: AnalyzerSettings) -> None:
        if settings.language in (EACH, AUTO):
            raise ValueError(f"one analyzer is of one language, and '{settings.language}' names none")
        self.settings = settings
        self._stemmer = STEMMERS[settings.stemmer](settings.language)
        self._cjk = resolved(settings.cjk, settings.language)
        english = settings.stop_words == "auto" and settings.language == "en"
        self._stop_words = LUCENE_STOP_WORDS if english else frozenset[str]()

    @property
    def language(self) -> str:
        """The code that it was made for."""
        return self.settings.language

    @property
    def languages(self) -> tuple[str, ...]:
        """That alone."""
        return (self.settings.language,)

    def document_terms(self, text: str, language: str) -> list[str]:
        """As `terms`: all documents are analysed alike."""
        return self.terms(text)

    def terms(self, text: str) -> list[str]:
        """Terms in text order, repetitions kept. None where no word is left."""
        return self._stemmer.stems([word for word in self.words(text) if word not in self._stop_words])

    def words(self, text: str) -> list[str]:
        """Lower-cased, in text order, stop words and repetitions kept. Unspaced text is cut as the settings say."""
        if text.isascii():
            return self._lower(text).translate(_SPACED).split()
        # NFKC: text out of PDF files has ligatures, decomposed accents and wide letters that no query has.
        # Soft hyphens stand inside words, and İ would be lower-cased to two characters.
        normal = unicodedata.normalize("NFKC", text).replace("\u00ad", "").replace("İ", "i")
        return split(self._lower(normal), self._cjk)

    def term_of(self, word: str) -> str | None:
        """The term of one of `words`; None of a stop word."""
        return None if word in self._stop_words else self._stemmer.stems([word])[0]

    def why_no_terms(self, text: str) -> str:
        """Why `terms` gives nothing for this text, for people to read."""
        if not text.strip():
            return "the text is empty"
        words = self.words(text)
        if not words:
            return "it has no letter or digit"
        return f"all its words are stop words ({', '.join(sorted(set(words))[:5])})"

    def why_unstemmed(self) -> str:
        """That words of its language stay whole though a stemmer was wanted, and where there is one; empty where all is well."""
        language, known = self.settings.language, stemmed_languages()
        if self.settings.stemmer != "auto" or language in known or language in CUT_LANGUAGES:
            return ""
        return (
            f"language '{language}' has no stemmer here: a word is found as it is written, and in no other form. There is a "
            f"stemmer for {', '.join(sorted(known))}. If the code is right (ISO 639-1), nothing is to be done"
        )

    def describe(self) -> dict[str, Any]:
        """All that makes the terms, as JSON data: two analyzers that describe themselves alike are alike."""
        return {
            "version": VERSION,
            "language": self.settings.language,
            "stemmer": self._stemmer.name,
            "stop_words": len(self._stop_words),
            "stop_words_sha256": text_sha256(" ".join(sorted(self._stop_words))),
            **self._stemmer.facts(),
            **({} if self._cjk == AS_EVER else {"cjk": self._cjk}),
        }

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Analyzer:
        """The analyzer that described itself so.

        Raises:
            IndexMismatch: this version of ragline, or of the stemmer library, makes other terms.
        """
        try:
            settings = AnalyzerSettings(
                language=description.get("language", ""),
                stemmer=setting_of(description.get("stemmer")),
                stop_words="auto" if description.get("stop_words") else "none",
                cjk=description.get("cjk", AS_EVER),
            )
            ours = cls(settings)
        except ValueError as cause:
            raise IndexMismatch(
                f"the index was analysed as {dict(description)}, which cannot be done here: {cause}. "
                "Build the index again"
            ) from cause
        here = ours.describe()
        differing = sorted(key for key in set(here) | set(description) if here.get(key) != description.get(key))
        if differing:
            theirs = ", ".join(f"{key} {description.get(key)!r}" for key in differing)
            own = ", ".join(f"{key} {here.get(key)!r}" for key in differing)
            raise IndexMismatch(
                f"the index was analysed with {theirs}; here it would be {own}. "
                "Build the index again, or install the version that made it"
            )
        return ours

    def _lower(self, text: str) -> str:
        if self.settings.language in ("tr", "az"):  # dotted and dotless i are two letters there
            text = text.replace("I", "ı")
        return text.lower()
