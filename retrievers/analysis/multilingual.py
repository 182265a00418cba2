"""Terms of an index over several languages: a document's are of its own language, a question's of every one.

A term carries the code of its language, `de:haus`, as equal letters are other words elsewhere: `die` is an article in
German, and no common word in English. Knows no index and no scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rag.core.errors import IndexMismatch
from retrievers.analysis.analyzer import Analysis, Analyzer
from retrievers.analysis.settings import AUTO, EACH, AnalyzerSettings

UNKNOWN = "und"
"""ISO 639 for a language that is not known: words are kept whole."""

_MARK = ":"
"""Between code and word. No word has it."""


def tagged(code: str, term: str) -> str:
    """A language's term.

    >>> tagged("de", "haus")
    'de:haus'
    """
    return f"{code}{_MARK}{term}"


def untagged(term: str) -> tuple[str, str]:
    """Language and word of a term; no language where the index has one analyzer.

    >>> untagged("de:haus"), untagged("haus")
    (('de', 'haus'), ('', 'haus'))
    """
    code, mark, word = term.partition(_MARK)
    return (code, word) if mark else ("", term)


def analyzer_of(settings: AnalyzerSettings, language: str) -> Analyzer:
    """The analyzer of one language among several.

    A stemmer that is not there for the language gives way to `auto`: `lemmas` has dictionaries for some. `auto` cuts
    unspaced text into bigrams in every language.

    Raises:
        MissingDependency: the stemmer is of a library that is not installed.
    """
    wanted = settings.model_copy(update={"language": language or UNKNOWN, "cjk": _cut(settings)})
    try:
        return Analyzer(wanted)
    except ValueError:
        return Analyzer(wanted.model_copy(update={"stemmer": "auto"}))


class EachLanguage:
    """The analyzers of an index by language. Safe to share between threads.

    Args:
        settings: what was asked for; `language` is `each`.
        analyzers: ISO 639 code -> analyzer, for every language that a document is in.
    """

    def __init__(self, settings: AnalyzerSettings, analyzers: Mapping[str, Analyzer]) -> None:
        self.settings, self.analyzers = settings, {code: analyzers[code] for code in sorted(analyzers)}

    @property
    def language(self) -> str:
        """Codes of all languages, for people to read."""
        return ", ".join(self.analyzers)

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of all languages, `und` among them where a document is in an unknown one."""
        return tuple(self.analyzers)

    def terms(self, text: str) -> list[str]:
        """A question's terms in every language, language by language, each in text order."""
        return [tagged(code, term) for code, analyzer in self.analyzers.items() for term in analyzer.terms(text)]

    def document_terms(self, text: str, language: str) -> list[str]:
        """A document's terms in its language; none where the index has no document in it, or in an unknown one."""
        code = language if language in self.analyzers else UNKNOWN
        analyzer = self.analyzers.get(code)
        return [tagged(code, term) for term in analyzer.terms(text)] if analyzer else []

    def why_no_terms(self, text: str) -> str:
        """Why `terms` gives nothing for this text, for people to read."""
        return next(iter(self.analyzers.values())).why_no_terms(text)

    def describe(self) -> dict[str, Any]:
        """All that makes the terms, as JSON data."""
        languages = {code: analyzer.describe() for code, analyzer in self.analyzers.items()}
        return {**_asked(self.settings), "languages": languages}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> EachLanguage:
        """The analyzers that described themselves so.

        Raises:
            IndexMismatch: this version of ragline, or of a stemmer library, makes other terms; or this describes none.
        """
        try:
            asked = {name: description[name] for name in AnalyzerSettings.model_fields}
            settings, languages = AnalyzerSettings(**asked), dict(description["languages"])
        except (KeyError, TypeError, ValueError) as cause:
            raise IndexMismatch(
                f"the index does not say how its languages were analysed ({cause!r}). Build the index again"
            ) from cause
        return cls(settings, {code: Analyzer.from_description(each) for code, each in languages.items()})


def described_analyzer(description: Mapping[str, Any]) -> Analysis:
    """What described itself so: one analyzer, or one for each language.

    Raises:
        IndexMismatch: terms are made differently here.
    """
    if description.get("language") == EACH:
        return EachLanguage.from_description(description)
    return Analyzer.from_description(description)


def settings_described(settings: AnalyzerSettings) -> dict[str, Any]:
    """All that makes the terms of a document whose language is known, as JSON data, before there is a document."""
    return _asked(settings) if settings.language in (EACH, AUTO) else Analyzer(settings).describe()


def differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two that described themselves so make other terms of a text; one of them may have more languages."""
    mine, theirs = dict(one.get("languages") or {}), dict(other.get("languages") or {})
    first, second = ({name: fact for name, fact in each.items() if name != "languages"} for each in (one, other))
    return first != second or any(mine[code] != theirs[code] for code in mine.keys() & theirs.keys())


def together(analyses: Iterable[Analysis]) -> Analysis:
    """What makes the terms of a question to several indexes that do not `differ`."""
    first, *others = analyses
    if not isinstance(first, EachLanguage):
        return first
    parts = [first, *(each for each in others if isinstance(each, EachLanguage))]
    return EachLanguage(first.settings, {code: one for part in parts for code, one in part.analyzers.items()})


def _asked(settings: AnalyzerSettings) -> dict[str, Any]:
    """The settings in full. What a stemmer of `auto` comes to is each language's own."""
    return {**dict(settings), "cjk": _cut(settings)}


def _cut(settings: AnalyzerSettings) -> str:
    """How unspaced text is cut. No index is from before there was a choice, so `auto` is what was measured as best."""
    return "bigrams" if settings.cjk == "auto" else settings.cjk
