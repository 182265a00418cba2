"""Words of a question that only hold it together, and near words: what is meant by one that no document has, or few have.

Words are near by letters alone (optimal string alignment: a letter more, less or other, or two that changed places). Knows no
index but by its leg, and of a language its common words, which are right. No more is looked at than whoever asks may read:
a word of other documents is as one that is not there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain, compress, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.core.filters import readers_of
from rag.core.types import Where
from retrievers.analysis.analyzer import Analysis
from retrievers.analysis.function_words import function_words, function_words_of, is_right, question_language
from retrievers.analysis.multilingual import UNKNOWN, tagged, untagged
from retrievers.legs.lexical.search import LexicalSearch, Words
from retrievers.stores.lru_cache import Kept

SHORTEST, LONG, LONGEST = 4, 8, 40
"""Letters of a word that is looked for, from how many on two of them may be wrong, and the most."""
MOST_WORDS = 32
"""Of a question, that near words are looked for."""
MOST_NEAR = 3
RARE = 100
"""A word is rare beside one that is in so many times as many documents."""

_KEPT_WORDS = 10_000_000
_OFTEN = 10
"""Documents that a term is in which is one of few."""
_BELOW = 0.99
_FAR = 1e6
_TEXTS, _CHARACTERS = 10, 10_000
"""In which words are found as they are written: the first so many, and of each the beginning."""
_WORD = re.compile(r"\w+")


class Near(NamedTuple):
    """`word`: of the question, as it is written there. `term`: its term. `near`: a term that is searched beside it.

    `weight`: of that, for each time that the term is asked.
    """

    word: str
    term: str
    near: str
    weight: float


class Vocabulary:
    """Terms of a leg by their first character. Safe to share between threads.

    Those of a character are gathered when they are first asked for, and take 16 bytes each then.

    Args:
        numbers: term -> its number, from 0 on in their order.
        sizes: numbers, int64 [n] -> in how many documents each of these terms is at most.
    """

    def __init__(self, numbers: Mapping[str, int], sizes: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> None:
        self._numbers, self._sizes = numbers, sizes
        self._kept = Kept[Words](_KEPT_WORDS, lambda words: len(words.counts))

    def like(self, term: str, *, least: int) -> Words:
        """Those that begin as this one does and may be near to some word, most frequent first.

        Those alone may be given that are in at least so many documents: most are in few.
        """
        some = self._frequent if least >= _OFTEN else self._numbers
        return self._kept.get((term[:1], least >= _OFTEN), lambda: self._beginning(term[:1], some))

    @cached_property
    def _frequent(self) -> list[str]:
        sizes = self._sizes(np.arange(len(self._numbers)))
        return [*compress(self._numbers, (sizes >= _OFTEN).tolist())]

    def _beginning(self, first: str, some: Iterable[str]) -> Words:
        words = [term for term in some if term.startswith(first) and _is_word(term, of=SHORTEST - 1)]
        counts = self._sizes(np.array([self._numbers[word] for word in words], dtype=np.int64))
        order = np.argsort(-counts, kind="stable")
        return Words([words[place] for place in order.tolist()], counts[order])


def near_terms(leg: LexicalSearch, text: str, terms: Iterable[str], *, where: Where | None) -> list[Near]:
    """What is searched beside the terms of a question that no document has, or that a neighbour is far more frequent than.

    That is for whoever asks by `where`; what else that says does not count. In an index of several languages a word is there
    if it is in one of them. At most `MOST_WORDS` words of a question are looked for. A common word of its language is right
    whatever the index has; so is every word of a question in a language that the index is not in.
    """
    readers = readers_of(where)
    counts = {term: _count(leg, term, readers) for term in terms if _is_word(untagged(term)[1])}
    odd = {term for term, n in counts.items() if not n or _may_be_rare(leg, term, n, readers)}
    if not odd:
        return []
    codes = leg.analyzer.languages
    code = question_language(text, codes)
    if code and code not in codes and all(map(function_words_of, codes)):
        return []
    found, looked = list[Near](), 0
    for word in words_of(text):
        forms = [term for term in dict.fromkeys(leg.analyzer.terms(word)) if term in counts]
        if odd.isdisjoint(forms) or is_right(word, {*codes, code}):
            continue
        if (looked := looked + 1) > MOST_WORDS:
            break
        odd.difference_update(forms)
        made = _near(leg, word, {form: counts[form] for form in forms}, readers)
        found += [each for each in made if untagged(each.near)[0] in ("", UNKNOWN, code) or code not in codes]
    return found


def weighed_down(
    analysis: Analysis, text: str, terms: Mapping[str, float], *, to: float
) -> tuple[Mapping[str, float], frozenset[str]]:
    """The terms of a question with those of its function words weighed down, and which these are.

    Only the times that a term is a function word weigh less, so `it` beside `IT` counts once in full. Where a question has
    nothing but function words, they are what it asks for, and all stays as it is.

    Args:
        terms: how often the question has each. `to`: what a function word weighs, 1 for as much as any.
    """
    if to == 1:
        return terms, frozenset()
    held = Counter(analysis.terms(" ".join(function_words(text, analysis.languages))))
    rest = {term: max(0.0, n - held[term]) for term, n in terms.items()}
    if not any(rest.values()):
        return terms, frozenset()
    weighed = {term: left + to * (terms[term] - left) for term, left in rest.items()}
    return weighed, frozenset(term for term in terms if held[term])


def near_weighed_down(analysis: Analysis, text: str, near: Sequence[Near], *, to: float) -> list[Near]:
    """The same for what is searched for misspelt words: `wich` is one that only holds a question together too."""
    if to == 1 or not near:
        return [*near]
    codes = analysis.languages
    code = question_language(text, codes) or (codes[0] if len(codes) == 1 else "")
    held = {*analysis.terms(" ".join(function_words_of(code)))}
    return [each._replace(weight=each.weight * to) if each.near in held else each for each in near]


def with_near(terms: Mapping[str, float], near: Iterable[Near]) -> Mapping[str, float]:
    """The terms of a question with those near to them."""
    asked = dict(terms)
    for each in near:
        asked[each.near] = asked.get(each.near, 0.0) + terms[each.term] * each.weight
    return asked


def words_of(text: str) -> list[str]:
    """The different words of a text, as they are written."""
    return [*dict.fromkeys(_WORD.findall(text))]


def as_written(
    near: Sequence[Near], texts: Iterable[str], leg: LexicalSearch, *, having: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Word of a question -> near words, as texts write them and most like it. Never a stem, which is no word.

    Args:
        texts: of hits. `having`: texts that have the near words, for those that no hit has.
    """
    from rapidfuzz.distance import OSA

    wanted = {each.near for each in near}
    forms: dict[str, Counter[str]] = {term: Counter() for term in wanted}
    firsts = "".join({untagged(term)[1][0] for term in wanted})
    beginning = re.compile(rf"\b[{firsts}]\w*", re.IGNORECASE)
    read = chain((text[:_CHARACTERS] for text in islice(texts, _TEXTS)), having)
    found = Counter(form for text in read for form in beginning.findall(text))
    for form, times in found.items():
        for term in wanted.intersection(leg.analyzer.terms(form)):
            forms[term][form] += times
    shown: dict[str, dict[str, None]] = {}
    for word, _, near_term, _ in near:
        if of_term := forms[near_term]:
            best = min(of_term, key=lambda form: (OSA.distance(word.lower(), form.lower()), -of_term[form], form))
            shown.setdefault(word, {})[best] = None
    return {word: tuple(words) for word, words in shown.items()}


def _near(leg: LexicalSearch, word: str, counts: Mapping[str, int], readers: Where | None) -> list[Near]:
    """Of a word: its term in every language -> how many documents have that."""
    most, made = max(counts.values()), list[Near]()
    found = {term: _nearest(leg, term, most, readers) for term, n in counts.items() if n or not most}
    nearest = min(distance for distance, _ in found.values())
    for term, (distance, near) in found.items():
        if distance == nearest and near:
            limits = _limits(leg, term, [*near], readers) if most else [1.0] * len(near)
            shares = [n / sum(near.values()) for n in near.values()]
            weighed = zip(near, shares, limits, strict=True)
            made += [Near(word, term, other, share * limit) for other, share, limit in weighed if limit > 0]
    return made


def _nearest(leg: LexicalSearch, term: str, count: int, readers: Where | None) -> tuple[int, dict[str, int]]:
    """A distance, and the most frequent of the terms that are so near: how many documents have each.

    Args:
        count: documents that have the word itself. A term beside that has to be `RARE` times as frequent.
    """
    code, word = untagged(term)
    least = max(1, RARE * count)
    groups = leg.words_like(term, least=least)
    for distance in (1, 2) if len(word) >= LONG and not count else (1,):
        words = {near for group in groups for near in _within(distance, word, group, -(-least // len(groups)))}
        if code == UNKNOWN and any(_one_word(leg, word, near) for near in words):
            break
        terms = [tagged(code, near) if code else near for near in words - {word}]
        counted = [(-n, near) for near in terms if (n := _count(leg, near, readers)) >= least]
        if counted:
            return distance, {near: -n for n, near in sorted(counted)[:MOST_NEAR]}
    return LONGEST, {}


def _one_word(leg: LexicalSearch, word: str, other: str) -> bool:
    """Whether two words are forms of one in a language of the index, so that neither is a mistake for the other."""
    return word != other and not {*leg.analyzer.terms(word)}.isdisjoint(leg.analyzer.terms(other))


def _within(distance: int, word: str, words: Words, least: int) -> list[str]:
    """Those of some words that are so near, and in at least so many documents."""
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    some = words.words[: int(np.searchsorted(-words.counts, -least, side="right"))]
    return [near for near, _, _ in process.extract(word, some, scorer=OSA.distance, score_cutoff=distance, limit=None)]


def _limits(leg: LexicalSearch, term: str, near: Sequence[str], readers: Where | None) -> list[float]:
    """For each near term a weight by which it adds less to any document than the term adds to each that has it; 1 at most.

    What a term adds to documents without it is left out of what it adds to the others.
    """
    without = {near[0]: 1.0, term: -_FAR}
    rows, scores = leg.search([{term: -1.0}, without, *({each: 1.0} for each in near)], k=1, where=readers)
    floor = float(leg.scores({term: 1.0}, rows[1], where=readers)[0])
    least, greatest = -float(scores[0, 0]) - floor, scores[2:, 0].tolist()
    return [min(1.0, _BELOW * least / score) if score > 0 else 0.0 for score in greatest]


def _may_be_rare(leg: LexicalSearch, term: str, count: int, readers: Where | None) -> bool:
    """Whether some word that begins as a term does is so much more frequent; looks at the most frequent alone."""
    if RARE * count > leg.n_docs_of(term, where=readers):
        return False
    groups = leg.words_like(term, least=RARE * count)
    return any(RARE * count <= len(groups) * most for words in groups for most in words.counts[:1].tolist())


def _count(leg: LexicalSearch, term: str, readers: Where | None) -> int:
    """How many documents have a term; 0 where whoever asks may read none of them."""
    there = term in leg and leg.knows(term, where=readers)
    return leg.document_frequency(term, where=readers) if there else 0


def _is_word(term: str, *, of: int = SHORTEST) -> bool:
    return of <= len(term) <= LONGEST and term.isalpha()
