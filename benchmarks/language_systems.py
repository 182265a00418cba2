"""Ways to make terms of a language: settings of ours, and libraries that ragline does not use, for comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from retrievers.analysis.settings import AnalyzerSettings

Word = Callable[[str], list[str]]
"""A word in lower case -> its terms."""


@dataclass(frozen=True, kw_only=True)
class System:
    """`settings` of ours; with `make`, what a library makes of every word, and `settings` of what becomes of that.

    `module`: of the library, `install`: what pip is asked for.
    """

    settings: Mapping[str, Any]
    make: Callable[[], Word] | None = None
    module: str = ""
    install: str = ""

    def analyzer(self, language: str) -> AnalyzerSettings:
        """The settings for a language."""
        return AnalyzerSettings.model_validate({"language": language, **self.settings})


def _stempel(table: str) -> Callable[[], Word]:
    def make() -> Word:
        from pystempel import Stemmer

        stem = {"20000": Stemmer.default, "polimorf": Stemmer.polimorf}[table]()
        return lambda word: [stem(word) or word]

    return make


def _morfeusz() -> Word:
    """The lemma of the first reading: it has no context to choose by."""
    from morfeusz2 import Morfeusz

    analyser = Morfeusz()
    return lambda word: [analyser.analyse(word)[0][2][1].partition(":")[0].lower()]


def _simplemma(language: str) -> Callable[[], Word]:
    def make() -> Word:
        from simplemma import lemmatize

        return lambda word: [lemmatize(word, language, greedy=True).lower()]

    return make


def _compounds() -> Word:
    """A word of at least seven letters and, where its best cut scores above 0.6, both halves."""
    from compound_split import char_split

    def split(word: str) -> list[str]:
        best = char_split.split_compound(word.capitalize())[:1] if len(word) >= 7 else []
        return [word, *(half.lower() for score, *halves in best if score > 0.6 for half in halves)]

    return split


_PLAIN = {"stemmer": "none"}
_STEMPEL = {"module": "pystempel", "install": "pystempel sortedcontainers tqdm"}
_MORFEUSZ = {"make": _morfeusz, "module": "morfeusz2", "install": "morfeusz2"}
_OURS = {
    "auto": System(settings={}),
    "no stemmer": System(settings=_PLAIN),
    "lemmas": System(settings={"stemmer": "lemmas"}),
}

SYSTEMS: Mapping[str, tuple[str, Mapping[str, System]]] = {
    "poquad": (
        "pl",
        {
            **_OURS,
            "simplemma alone": System(settings=_PLAIN, make=_simplemma("pl"), module="simplemma", install="simplemma"),
            "stempel": System(settings=_PLAIN, make=_stempel("20000"), **_STEMPEL),
            "stempel polimorf": System(settings=_PLAIN, make=_stempel("polimorf"), **_STEMPEL),
            "stempel polimorf, snowball": System(settings={}, make=_stempel("polimorf"), **_STEMPEL),
            "morfeusz2": System(settings=_PLAIN, **_MORFEUSZ),
            "morfeusz2, snowball": System(settings={}, **_MORFEUSZ),
        },
    ),
    "xquad/de": (
        "de",
        {
            **_OURS,
            "compound-split, snowball": System(
                settings={}, make=_compounds, module="compound_split", install="compound-split"
            ),
        },
    ),
    "xquad/zh": (
        "zh",
        {
            "characters": System(settings={"cjk": "characters"}),
            "bigrams": System(settings={"cjk": "bigrams"}),
            "both": System(settings={"cjk": "both"}),
        },
    ),
    "xquad/en": ("en", _OURS),
    "scifact": ("en", _OURS),
}
"""Set -> its language, and systems of which the first is what the others are compared with."""


@cache
def word_of(make: Callable[[], Word]) -> Word:
    """What a library makes of a word, each word asked once."""
    return cache(make())
