"""Words -> stems: every way that `analyzer.stemmer` can name. Knows no text, no stop words and no index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Protocol

from rag.core.optional import need

_LANGUAGES = """
    ar:arabic ca:catalan cs:czech da:danish de:german el:greek en:english eo:esperanto es:spanish
    et:estonian eu:basque fa:persian fi:finnish fr:french ga:irish hi:hindi hu:hungarian hy:armenian
    id:indonesian it:italian lt:lithuanian nb:norwegian ne:nepali nl:dutch nn:norwegian no:norwegian
    pl:polish pt:portuguese ro:romanian ru:russian sr:serbian st:sesotho sv:swedish ta:tamil
    tr:turkish yi:yiddish"""

_SNOWBALL = dict(pair.split(":") for pair in _LANGUAGES.split())
"""ISO 639-1 code -> the Snowball library's name."""

_LONGEST = 64
"""Letters of a word that a dictionary is asked for: no word is longer, and a search for its parts would take long."""


class Stems(Protocol):
    """One way to make words of one kind equal. Safe to share between threads."""

    @property
    def name(self) -> str:
        """What an index says of it."""
        ...

    def stems(self, words: list[str]) -> list[str]:
        """A stem for each word, in order."""
        ...

    def facts(self) -> dict[str, Any]:
        """What its stems depend on beside its name and the language."""
        ...


class Whole:
    """Words as they are."""

    name = "none"

    def stems(self, words: list[str]) -> list[str]:
        return words

    def facts(self) -> dict[str, Any]:
        return {}


class Snowball:
    """An algorithm of the Snowball library, Porter's among them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._own = _OneAThread()

    def stems(self, words: list[str]) -> list[str]:
        if self._own.stemmer is None:
            import Stemmer

            self._own.stemmer = Stemmer.Stemmer(self.name)
        stems: list[str] = self._own.stemmer.stemWords(words)
        return stems

    def facts(self) -> dict[str, Any]:
        """Porter's algorithm is frozen; the others are still mended, so theirs has a version."""
        if self.name == "porter":
            return {}
        import Stemmer

        return {"stemmer_version": str(Stemmer.version())}


class Lemmas:
    """The form that a dictionary has of a word, then `stemmer` of that form.

    A dictionary knows forms that rules do not (Polish psa -> pies). The stemmer then joins what the dictionary keeps
    apart, and does what it can with words that it has not.
    """

    name = "lemmas"

    def __init__(self, language: str, stemmer: Stems) -> None:
        self._language, self._stemmer = language, stemmer

    def stems(self, words: list[str]) -> list[str]:
        return self._stemmer.stems([self._lemma(word) for word in words])

    def facts(self) -> dict[str, Any]:
        from importlib.metadata import version

        return {"lemmas_version": version("simplemma"), "then": self._stemmer.name, **self._stemmer.facts()}

    def _lemma(self, word: str) -> str:
        if len(word) > _LONGEST:
            return word
        import simplemma

        # A dictionary of Polish takes 350 MB where it is not read as it lies; equal words are asked once either way.
        return str(simplemma.lemmatize(word, self._language, greedy=True, low_memory=True)).lower()


def _auto(language: str) -> Stems:
    if language == "en":
        return Snowball("porter")
    return Snowball(_SNOWBALL[language]) if language in stemmed_languages() else Whole()


def _porter(language: str) -> Stems:
    if language != "en":
        raise ValueError(f"stemmer 'porter' is for English; for language '{language}' use auto, snowball or none")
    return Snowball("porter")


def stemmed_languages() -> frozenset[str]:
    """ISO 639-1 codes of the languages that `auto` has a stemmer for."""
    return frozenset(code for code, name in _SNOWBALL.items() if name in _algorithms())


def _snowball(language: str) -> Stems:
    if language in stemmed_languages():
        return Snowball(_SNOWBALL[language])
    known = ", ".join(sorted(stemmed_languages()))
    raise ValueError(f"no Snowball stemmer for language '{language}'; there is one for {known}. Use auto or none")


def _lemmas(language: str) -> Stems:
    need("simplemma", by="stemmer 'lemmas'", extra="languages")
    known = _dictionaries()
    if language not in known:
        raise ValueError(
            f"no dictionary for language '{language}'; there is one for {', '.join(sorted(known))}. Use auto or none"
        )
    return Lemmas(language, _auto(language))


def _none(language: str) -> Stems:
    return Whole()


STEMMERS: Mapping[str, Callable[[str], Stems]] = {
    "auto": _auto,
    "porter": _porter,
    "snowball": _snowball,
    "lemmas": _lemmas,
    "none": _none,
}
"""Value of `analyzer.stemmer` -> what makes it for a language. It raises ValueError where there is none for it."""

_SAID = ("porter", "lemmas", "none")
"""Values that an index says by the same name; of Snowball's it says the algorithm."""


def setting_of(name: object) -> Any:
    """The value of `analyzer.stemmer` that made an index which says this name."""
    return name if name in _SAID else "snowball"


class _OneAThread(threading.local):
    """A PyStemmer object must not be used by two threads at once."""

    stemmer: Any = None


@cache
def _algorithms() -> frozenset[str]:
    import Stemmer

    return frozenset(Stemmer.algorithms())


@cache
def _dictionaries() -> frozenset[str]:
    from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES

    return frozenset(SUPPORTED_LANGUAGES)
