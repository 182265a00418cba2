"""How far the words of an answer are those of a reference. Pure functions.

Exact match and F1 normalise as SQuAD does (Rajpurkar et al., EMNLP 2016, arXiv 1606.05250): lower case, no punctuation, no
articles, words between blanks. Other languages follow MLQA (Lewis et al., ACL 2020, arXiv 1910.07475): punctuation is
Unicode's, the articles are the language's own, and in scripts that are written without blanks (Han, kana, Thai, Lao,
Khmer, Burmese) every character is a word. Wide letters and digits count as plain ones (NFKC). On ASCII text the values
are SQuAD's own. ROUGE-L (Lin, ACL workshop 2004) keeps articles, and punctuation parts words; nothing is stemmed.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_ARTICLES = {
    "en": "a an the",
    "de": "der die das den dem des ein eine einen einem einer eines",
    "es": "el la los las un una unos unas",
}


def exact_match(answer: str, reference: str, *, language: str = "en") -> float:
    """1 if both have the same words in the same order after normalisation, else 0.

    >>> exact_match("The Eiffel Tower!", "eiffel tower")
    1.0
    """
    return float(normalised_words(answer, language=language) == normalised_words(reference, language=language))


def token_f1(answer: str, reference: str, *, language: str = "en") -> float:
    """Harmonic mean of the shares of each side's words, counted with repetitions, that the other side has.

    Two texts without a word agree (1); one without a word and one with words do not (0).

    >>> token_f1("in Paris, France", "Paris")
    0.5
    """
    words = normalised_words(answer, language=language)
    wanted = normalised_words(reference, language=language)
    if not words or not wanted:
        return float(words == wanted)
    return _harmonic_mean((Counter(words) & Counter(wanted)).total(), len(words), len(wanted))


def holds(answer: str, reference: str, *, language: str = "en") -> bool:
    """Whether the words of a reference, if it has any, stand in the answer in their order, after normalisation.

    >>> holds("It is the Eiffel Tower.", "Eiffel tower"), holds("Towers", "tower")
    (True, False)
    """
    words = f" {' '.join(normalised_words(answer, language=language))} "
    wanted = " ".join(normalised_words(reference, language=language))
    return bool(wanted) and f" {wanted} " in words


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common subsequence of words. 0 if either text has no word.

    >>> round(rouge_l("police killed the gunman", "police kill the gunman"), 2)
    0.75
    """
    words, wanted = _parted_words(answer), _parted_words(reference)
    return _harmonic_mean(_longest_common_subsequence(words, wanted), len(words), len(wanted))


def best_of(measure: Callable[[str, str], float], answer: str, references: Sequence[str]) -> float:
    """The value against the reference that fits best."""
    return max(measure(answer, reference) for reference in references)


def normalised_words(text: str, *, language: str = "en") -> list[str]:
    """The words that exact match and F1 compare, in order of the text."""
    bare = "".join(c for c in _plain(text) if c not in string.punctuation and unicodedata.category(c)[0] != "P")
    articles = _ARTICLES.get(language, "").split()
    return [word for word in _WORD.findall(bare) if word not in articles]


def _parted_words(text: str) -> list[str]:
    """Words between blanks, punctuation and symbols."""
    return _WORD.findall("".join(" " if unicodedata.category(c)[0] in "PSC" else c for c in _plain(text)))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _harmonic_mean(n_common: int, n_given: int, n_wanted: int) -> float:
    """Of n_common / n_given and n_common / n_wanted."""
    return 2 * n_common / (n_given + n_wanted) if n_common else 0.0


def _longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    lengths = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for column, against in enumerate(other, start=1):
            longer = diagonal + 1 if word == against else max(lengths[column], lengths[column - 1])
            diagonal, lengths[column] = lengths[column], longer
    return lengths[-1]
