"""Text -> terms: what the lexical leg indexes and what it looks up. Knows no index and no scores."""

from __future__ import annotations

import re
import sys
import threading
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any

from rag.core.digests import text_sha256
from rag.core.errors import IndexMismatch
from retrievers.analyzer_settings import AnalyzerSettings

VERSION = 1
"""Raised whenever the same settings come to give other terms."""

_STOP_WORDS = """
    a an and are as at be but by for if in into is it no not of on or such that the their then there these
    they this to was will with"""

LUCENE_STOP_WORDS = frozenset(_STOP_WORDS.split())
"""The 33 words of Lucene's EnglishAnalyzer."""

_LANGUAGES = """
    ar:arabic ca:catalan cs:czech da:danish de:german el:greek en:english eo:esperanto es:spanish
    et:estonian eu:basque fa:persian fi:finnish fr:french ga:irish hi:hindi hu:hungarian hy:armenian
    id:indonesian it:italian lt:lithuanian nb:norwegian ne:nepali nl:dutch nn:norwegian no:norwegian
    pl:polish pt:portuguese ro:romanian ru:russian sr:serbian st:sesotho sv:swedish ta:tamil
    tr:turkish yi:yiddish"""

_SNOWBALL = dict(pair.split(":") for pair in _LANGUAGES.split())
"""ISO 639-1 code -> the Snowball library's name."""

_SINGLE = "\u3005-\u3007\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Han characters and Hiragana: each is a term, as in Lucene's StandardTokenizer."""

_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_MENDED = str.maketrans({"\u00ad": None, "İ": "i"})
"""Soft hyphens stand inside words; İ would be lower-cased to two characters."""


class Analyzer:
    """Words, lower-cased, stemmed, without stop words, one-letter words kept. Safe to share between threads.

    Raises:
        ValueError: the language is no ISO 639-1 code, or the stemmer is not there for it.
    """

    def __init__(self, settings: AnalyzerSettings) -> None:
        if not re.fullmatch(r"[a-z]{2,3}", settings.language):
            raise ValueError(f"language must be an ISO 639-1 code such as 'en' or 'zh', got {settings.language!r}")
        self.settings = settings
        self._algorithm = _algorithm(settings)
        english = settings.stop_words == "auto" and settings.language == "en"
        self._stop_words = LUCENE_STOP_WORDS if english else frozenset[str]()
        self._stemmers = threading.local()  # a PyStemmer object must not be used by two threads at once

    def terms(self, text: str) -> list[str]:
        """Terms in text order, repetitions kept. None where no word is left."""
        words = [word for word in self._words(text) if word not in self._stop_words]
        return self._stem(words) if self._algorithm else words

    def why_no_terms(self, text: str) -> str:
        """Why `terms` gives nothing for this text, for people to read."""
        if not text.strip():
            return "the text is empty"
        words = self._words(text)
        if not words:
            return "it has no letter or digit"
        return f"all its words are stop words ({', '.join(sorted(set(words))[:5])})"

    def describe(self) -> dict[str, Any]:
        """All that makes the terms, as JSON data: two analyzers that describe themselves alike are alike."""
        description: dict[str, Any] = {
            "version": VERSION,
            "language": self.settings.language,
            "stemmer": self._algorithm or "none",
            "stop_words": len(self._stop_words),
            "stop_words_sha256": text_sha256(" ".join(sorted(self._stop_words))),
        }
        if self._algorithm not in ("", "porter"):  # Porter's algorithm is frozen, Snowball's are still mended
            description["stemmer_version"] = _stemmer_version()
        return description

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Analyzer:
        """The analyzer that described itself so.

        Raises:
            IndexMismatch: this version of ragline, or of the stemmer library, makes other terms.
        """
        stemmer = description.get("stemmer")
        try:
            settings = AnalyzerSettings(
                language=description.get("language", ""),
                stemmer=stemmer if stemmer in ("none", "porter") else "snowball",
                stop_words="auto" if description.get("stop_words") else "none",
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

    def _words(self, text: str) -> list[str]:
        if text.isascii():
            return _ASCII_WORD.findall(self._lower(text))  # twice as fast
        # NFKC: text out of PDF files has ligatures, decomposed accents and wide letters that no query has.
        normal = unicodedata.normalize("NFKC", text).translate(_MENDED)
        return _any_word().findall(self._lower(normal))

    def _lower(self, text: str) -> str:
        if self.settings.language in ("tr", "az"):  # dotted and dotless i are two letters there
            text = text.replace("I", "ı")
        return text.lower()

    def _stem(self, words: list[str]) -> list[str]:
        stemmer = getattr(self._stemmers, "stemmer", None)
        if stemmer is None:
            import Stemmer

            stemmer = self._stemmers.stemmer = Stemmer.Stemmer(self._algorithm)
        stems: list[str] = stemmer.stemWords(words)
        return stems


@cache
def _any_word() -> re.Pattern[str]:
    """One unspaced character, or a run of letters and digits with the marks that sit on them.

    Python's \\w leaves out marks, which would cut Hindi at every vowel sign. Made at the first text that
    needs it: reading all code points takes 70 ms."""
    points = (c for c in range(0x300, sys.maxunicode + 1) if unicodedata.category(chr(c)) in ("Mn", "Mc"))
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    marks = "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
    return re.compile(f"[{_SINGLE}]|[^\\W{_SINGLE}](?:[^\\W{_SINGLE}]|[{marks}])*")


def _algorithm(settings: AnalyzerSettings) -> str:
    """Name of the Snowball library's algorithm, "" for none."""
    language = settings.language
    if settings.stemmer == "none":
        return ""
    if settings.stemmer == "porter" or (settings.stemmer == "auto" and language == "en"):
        if language != "en":
            raise ValueError(f"stemmer 'porter' is for English; for language '{language}' use auto, snowball or none")
        return "porter"
    import Stemmer

    name = _SNOWBALL.get(language, "")
    if name in Stemmer.algorithms():
        return name
    if settings.stemmer == "auto":
        return ""
    known = ", ".join(sorted(code for code, name in _SNOWBALL.items() if name in Stemmer.algorithms()))
    raise ValueError(f"no Snowball stemmer for language '{language}'; there is one for {known}. Use auto or none")


def _stemmer_version() -> str:
    import Stemmer

    return str(Stemmer.version())
