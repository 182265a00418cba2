"""The languages of what is indexed: which one its words are analysed in, and whether what reads the texts knows it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from rag.core.errors import SpecError
from rag.ingest.common_words import SHOWN, seeming_language
from rag.ingest.language import LanguageReader
from rag.models.table import PACKAGED
from retrievers.analysis.settings import AUTO, EACH, AnalyzerSettings
from retrievers.encoders.by_language import MULTILINGUAL
from retrievers.index.settings import IndexSettings

Item = TypeVar("Item")

log = logging.getLogger(__name__)

USUAL_LANGUAGE = "en"
"""Of texts that show none, such as code and tables."""

_LOOKED_AT = 150
"""Files that are looked at, and as many passages, evenly over all: a table of many rows is one file."""
_GLIMPSE = 4096
"""Bytes at the beginning of a file."""
_ONE_OF_SEVERAL = 0.1
"""Share of the texts that show a language from which on it counts. Below are quotations, and names that look like one."""


def languages_seen(texts: Sequence[str], firsts: Sequence[int] = (), *, expected: str = USUAL_LANGUAGE) -> Counter[str]:
    """Language -> texts, of some of them; none where so few show one that the rest says more.

    Args:
        texts: what is indexed, by row.
        firsts: the first row of each file.
        expected: the language that most are likely in. Where they seem to be, nothing looks closer.
    """
    rows = sorted({*_evenly(firsts), *_evenly(range(len(texts)))})
    looked_at = [texts[row] for row in rows]
    shown = [(text, code) for text in looked_at if (code := seeming_language(text))]
    if not shown or len(shown) < SHOWN * len(looked_at):
        return Counter()
    seeming = Counter(code for _, code in shown)
    if seeming.total() - seeming[expected] < _ONE_OF_SEVERAL * seeming.total():
        return seeming
    reader = LanguageReader()  # knows more languages, and takes a second to load
    return Counter(filter(None, (reader.of(text) for text, _ in shown)))


def reads_words(settings: IndexSettings, legs: Sequence[str]) -> bool:
    """Whether one of the legs has words that are analysed."""
    return any("analyzer" in settings.kind(leg).also for leg in legs)


def chosen_language(seen: Mapping[str, int]) -> str:
    """What `analyzer.language: auto` comes to: the language of the texts, or `each` where they are in several."""
    least = _ONE_OF_SEVERAL * sum(seen.values())
    return EACH if sum(n >= least for n in seen.values()) > 1 else most_seen(seen)


def most_seen(seen: Mapping[str, int]) -> str:
    """The language of most texts."""
    return max(seen, key=lambda code: seen[code], default=USUAL_LANGUAGE)


def in_language(settings: IndexSettings, language: str) -> IndexSettings:
    """Settings with the analyzer's language replaced. Where each document has its own, it is told from the text.

    Raises:
        SpecError: it is no language.
    """
    said = {**settings.analyzer.model_dump(exclude_unset=True), "language": language}
    try:
        analyzer = AnalyzerSettings.model_validate(said)
    except ValidationError as cause:
        raise SpecError(cause.errors()[0]["msg"].removeprefix("Value error, ")) from None
    changed: dict[str, object] = {"analyzer": analyzer}
    if language == EACH:
        changed["reading"] = settings.reading.model_copy(update={"languages": True})
    return settings.model_copy(update=changed)


def as_before(settings: IndexSettings, before: IndexSettings | None, legs: Sequence[str]) -> IndexSettings:
    """Settings with what they leave open as the index before has it: nothing of it changes unasked.

    That is the language of words, and what else its legs leave to a build, such as the encoder.

    Args:
        legs: of the index before.
    """
    if before is None:
        return settings
    settings = settings.model_copy(
        update={"legs": {n: before.legs[n] for n in legs if n in before.legs} | settings.legs}
    )
    if settings.analyzer.language == AUTO and not settings.analyzer.says_language:
        settings = in_language(settings, before.analyzer.language)
    for kind in map(before.kind, legs):
        built = dict(before.section(kind.section))
        settings = settings.with_section(kind.section, {name: built[name] for name in kind.left_open(settings)})
    return settings


def by_languages(settings: IndexSettings, legs: Sequence[str], seen: Mapping[str, int]) -> IndexSettings:
    """Settings with what the legs leave to the languages of the texts chosen. `seen`: code -> texts."""
    for kind in map(settings.kind, legs):
        settings = settings.with_section(kind.section, kind.by_languages(settings, seen))
    return settings


def chosen_by_languages(settings: IndexSettings, legs: Sequence[str], seen: Mapping[str, int]) -> dict[str, str]:
    """Leg -> what of it the languages decide, in words; nothing where it is as for texts of the usual language."""
    told = {}
    for leg in legs:
        chosen = settings.kind(leg).by_languages(settings, seen)
        if chosen != settings.kind(leg).by_languages(settings, {}):
            told[leg] = f"{', '.join(map(str, chosen.values()))}, as the texts are in {_listed(seen)}"
    return told


def languages_glimpsed(files: Sequence[Path]) -> Counter[str]:
    """Language -> files, by how some of them begin, where they are text as it stands.

    It costs little, and what is read is not read again for another encoder where it turns out to be right.
    """
    return Counter(filter(None, map(_seeming_language_of, _evenly(files))))


def named_language(settings: IndexSettings) -> Counter[str]:
    """The language that settings name, once; none where they name none."""
    own = settings.analyzer.language
    return Counter() if own in (AUTO, EACH) else Counter([own])


def _seeming_language_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            beginning = opened.read(_GLIMPSE)
    except OSError:
        return ""
    return "" if b"\0" in beginning else seeming_language(beginning.decode("utf-8", "ignore"))


def _listed(seen: Mapping[str, int]) -> str:
    """The languages of most texts, most frequent first, until what is left does not count."""
    codes, left = list[str](), sum(seen.values())
    for code in sorted(seen, key=lambda code: -seen[code]):
        if left < _ONE_OF_SEVERAL * sum(seen.values()):
            break
        codes.append(code)
        left -= seen[code]
    *others, last = codes
    return f"{', '.join(others)} and {last}" if others else last


def warn_of_language(settings: IndexSettings, legs: Sequence[str], seen: Mapping[str, int]) -> None:
    """Say what of an index was made for other languages than its texts are in: its words, and models that read texts.

    Args:
        seen: language -> texts or documents. None were looked at, or none show one: then the analyzer's counts.
    """
    _warn_of_words(settings, legs, seen)
    _warn_of_models(settings, legs, seen)


def _warn_of_words(settings: IndexSettings, legs: Sequence[str], seen: Mapping[str, int]) -> None:
    own, total = settings.analyzer.language, sum(seen.values())
    others = {code: n for code, n in seen.items() if code != own and n >= _ONE_OF_SEVERAL * total}
    if own == EACH or not others or not reads_words(settings, legs):
        return
    log.warning(
        "words are analysed as '%s', and of %s texts that were looked at %s. Their words are found as they are written, and in "
        "other forms by luck. rag index --language each analyses each document in its own",
        own,
        f"{total:,}",
        ", ".join(f"{n:,} are in '{code}'" for code, n in others.items()),
    )


def _warn_of_models(settings: IndexSettings, legs: Sequence[str], seen: Mapping[str, int]) -> None:
    told = most_seen(seen) if seen else settings.analyzer.language
    if told in (EACH, AUTO):
        return
    foreign = [
        f"{name} ({leg}, for {', '.join(known.languages)})"
        for leg in legs
        for name, _ in settings.kind(leg).wanted_models(settings)
        if (known := PACKAGED.get(name)) and known.languages and told not in known.languages
    ]
    if foreign:
        log.warning(
            "the texts are in '%s', and these models were made for other languages: %s. In hybrid searches vectors count for "
            "the part of the texts that their model was made for, here next to nothing. rag index --shadow --encoder %s makes "
            "vectors for a hundred languages beside these, and compares. rag weigh says what each list is worth",
            told,
            "; ".join(foreign),
            MULTILINGUAL,
        )


def _evenly(items: Sequence[Item]) -> Sequence[Item]:
    return items[:: max(1, len(items) // _LOOKED_AT)]
