"""Common words of languages: those of a question that only hold it together, such as "how do I". Knows no index.

Lists are of what a question is asked with, and are looked up in the question alone: an index keeps all its words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from retrievers.analysis.cjk import UNSPACED

_FILE = Path(__file__).with_suffix(".txt")
_ENGLISH = _FILE.with_name("english_words.txt")
_SAME = {"nb": "no", "nn": "no"}
_APOSTROPHES = "'’"
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」')
"""What is quoted is meant as it is written."""
_BEGINS = re.compile(r"[.!?:;…][\s(\[¿¡]*$")
"""Text before the first word of a sentence."""
_LOOKED_BACK = 10
"""Characters, so that a question as long as a book takes no longer than it should."""
_LEAST_OTHER, _CLEARLY = 3, 2
"""Function words that tell a language which an index is not in, and how many times those of one that it is in."""
_LEAST_OF_SEVERAL = 2
"""Function words that tell one of several languages. Where an index is in one, a single word is taken to be of that."""


class _Word(NamedTuple):
    """A word of a question. `keys`: how a list may have it. `named`: its capitals say that it is a name here."""

    text: str
    keys: tuple[str, ...]
    named: bool


def function_words(text: str, languages: Collection[str]) -> list[str]:
    """Words of a question that hold it together in the language that it is in, in text order, repetitions kept.

    Names are left out as far as their capitals tell them, and what stands in quotation marks.

    Args:
        languages: ISO 639-1 codes of what the index is in.

    >>> function_words("How do I ask who plays in The Who?", ["en"])
    ['How', 'do', 'I', 'who', 'in']
    """
    words = _words(_QUOTED.sub(lambda quoted: " " * len(quoted.group()), text))
    code, known = _told(words, languages), _languages_of_words()
    held = [word for word in words if any(code in known.get(key, ()) for key in word.keys)]
    lower = any(word.text.islower() for word in held)
    return [word.text for word in held if not (lower and word.named)]


def question_language(text: str, languages: Collection[str]) -> str:
    """The language of a question, told by its function words; empty where it is not clear.

    It is that one of the index of which it has most of them, unless it has far more of another one.

    >>> question_language("Wie lange habe ich Zeit?", ["en"]), question_language("die hard", ["en"])
    ('de', '')
    """
    return _told(_words(text), languages)


def is_right(word: str, languages: Collection[str]) -> bool:
    """Whether a word is a function word of any language, or a common one of these: of English some 20,000.

    >>> is_right("money", ["en"]), is_right("monney", ["en"]), is_right("wenn", ["en"])
    (True, False, True)
    """
    word = word.lower()
    return word in _languages_of_words() or ("en" in languages and word in _english())


def function_words_of(language: str) -> Collection[str]:
    """All of a language, lower-cased; none where there is no list."""
    return _lists().get(_SAME.get(language, language), ())


def _told(words: Sequence[_Word], languages: Collection[str]) -> str:
    known, own = _languages_of_words(), [_SAME.get(each, each) for each in languages]
    counts = Counter(code for key in {key for word in words for key in word.keys} for code in known.get(key, ()))
    best = max(own, key=lambda code: counts[code], default="")
    other = max(sorted(counts), key=lambda code: counts[code], default="")
    if counts[other] >= max(_LEAST_OTHER, _CLEARLY * counts[best]):
        return other
    return best if counts[best] >= (1 if len(own) == 1 else _LEAST_OF_SEVERAL) else ""


def _words(text: str) -> list[_Word]:
    """Words by spaces; of unspaced text those of the lists."""
    words = list[_Word]()
    for match in _WORD.finditer(text):
        word, start, end = match.group(), match.start(), match.end()
        before, after = text[max(0, start - 1) : start], text[end : end + 1]
        if _unspaced().search(word):
            words += [_Word(part, (part,), False) for part in _unspaced_words().findall(word)]
            continue
        low = word.lower()
        keys = [low] if len(low) > 1 or not {before, after} & {*_APOSTROPHES} else []
        keys += [f"'{low}"] if before and before in _APOSTROPHES else []
        keys += [f"{low}'"] if after and after in _APOSTROPHES else []
        first = not words or _BEGINS.search(text, max(0, start - _LOOKED_BACK), start) is not None
        named = len(word) > 1 and (word.isupper() or (word[0].isupper() and not first))
        words.append(_Word(word, tuple(keys), named))
    return words


@cache
def _languages_of_words() -> Mapping[str, tuple[str, ...]]:
    """Word -> languages of whose lists it is one."""
    languages: dict[str, tuple[str, ...]] = {}
    for code, words in _lists().items():
        for word in words:
            languages[word] = (*languages.get(word, ()), code)
    return languages


@cache
def _lists() -> Mapping[str, Collection[str]]:
    """ISO 639-1 code -> its function words, lower-cased."""
    lists = re.split(r"^(\w+):", "\n".join(_lines(_FILE)), flags=re.MULTILINE)[1:]
    return {code: frozenset(words.lower().split()) for code, words in zip(lists[::2], lists[1::2], strict=True)}


@cache
def _english() -> frozenset[str]:
    return frozenset(" ".join(_lines(_ENGLISH)).split())


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


@cache
def _unspaced() -> re.Pattern[str]:
    return re.compile(f"[{UNSPACED}]")


@cache
def _unspaced_words() -> re.Pattern[str]:
    words = [word for word in _languages_of_words() if _unspaced().search(word)]
    return re.compile("|".join(sorted(map(re.escape, words), key=lambda word: (-len(word), word))))
