"""Pairs of texts that say the same in two languages -> a dictionary of the words and names that stand in both.

Phrases that come in the same pairs mean the same: by Dice's share of pairs in common, each the other's best, as in Melamed's
competitive linking (Computational Linguistics 2000). No model and no lexicon; a phrase has to come twice. What could mean
several things is left out, since a wrong word in a query costs more than none.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rag.writing import UNSPACED, folded, require_positive, require_share

_COLUMNS = ("source", "target", "language")
_LONGEST = 200
"""Characters of a phrase; `reformulate.code_switch` reads no longer ones."""

_PIECE = re.compile(f"[{UNSPACED}]+|[^\\W{UNSPACED}]+(?:[-'’][^\\W{UNSPACED}]+)*|\\s+")
"""A run of letters that no space parts, a word, or the space between words. All else ends a phrase."""

_UNSPACED_RUN = re.compile(f"[{UNSPACED}]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Two phrases. `pairs`: how many pairs of texts have both; `share`: twice that, over how many have either, counted each."""

    source: str
    target: str
    pairs: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A dictionary, the surest first, and what was left of it: pairs that were `too_long`, phrases with several equal ones."""

    entries: tuple[Entry, ...]
    too_long: int
    ambiguous: int


def dictionary_of(
    pairs: Sequence[tuple[str, str]],
    *,
    words: int = 3,
    letters: int = 6,
    least_pairs: int = 2,
    least: float = 0.5,
    longest: int = 60,
) -> Made:
    """The dictionary of pairs of texts, source language first.

    Phrases of words that stand beside each other, and in text without spaces pieces of it; none is longer than
    `reformulate.code_switch` reads. Of phrases inside one another that come in the same pairs, the longest stands for all.
    What is spelt alike on both sides is its own counterpart and no entry.

    Args:
        words: most words of a phrase.
        letters: most letters of a piece of text without spaces.
        least_pairs: pairs that both phrases have to come in.
        least: least share, from 0 to 1.
        longest: words and unspaced letters of a text; pairs with a longer one are left out. What is counted at once grows with
            the square of it.
    Raises:
        ValueError: a number is out of its range.
    """
    require_positive("dictionary", words=words, letters=letters, least_pairs=least_pairs, longest=longest)
    require_share("dictionary", least=least)
    sides = [tuple(_phrases(text, words, letters, longest) for text in pair) for pair in pairs]
    read = [(source, target) for source, target in sides if source is not None and target is not None]
    frequent = [_frequent([side[place] for side in read], least_pairs) for place in (0, 1)]
    together: Counter[tuple[str, str]] = Counter()
    for source, target in read:
        theirs = [phrase for phrase in target if phrase in frequent[1]]
        together.update((ours, other) for ours in source if ours in frequent[0] for other in theirs)
    shares = {
        (source, target): 2 * n / (frequent[0][source] + frequent[1][target])
        for (source, target), n in together.items()
        if n >= least_pairs
    }
    alike = {source for source, target in shares if source == target and shares[source, target] >= least}
    of_source, of_target = _best(shares, alike, 0), _best(shares, alike, 1)
    surfaces = [_surfaces(side[place] for side in read) for place in (0, 1)]
    entries = [
        Entry(
            source=surfaces[0][source],
            target=surfaces[1][target],
            pairs=together[source, target],
            share=shares[source, target],
        )
        for source, target in of_source.items()
        if target is not None and of_target.get(target) == source and shares[source, target] >= least
    ]
    return Made(
        entries=tuple(sorted(entries, key=lambda entry: (-entry.share, -entry.pairs, entry.source, entry.target))),
        too_long=len(sides) - len(read),
        ambiguous=sum(target is None for target in of_source.values()),
    )


def dictionary_lines(names: Iterable[tuple[str, str]], language: str) -> str:
    """Source and target of one language as the text of a `.tsv` file, in their order, with a header line."""
    rows = (_COLUMNS, *((source, target, language) for source, target in names))
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)


Phrases = Mapping[str, str]
"""Folded phrase -> as it is written where it first stands."""


def _phrases(text: str, words: int, letters: int, longest: int) -> Phrases | None:
    """The phrases of a text; None for one that is too long."""
    found: dict[str, str] = {}
    n = 0
    for stretch in _stretches(text):
        n += len(stretch)
        if n > longest:
            return None
        for first in range(len(stretch)):
            unspaced = bool(_UNSPACED_RUN.match(stretch[first][0]))
            for last in range(first, min(first + (letters if unspaced else words), len(stretch))):
                surface = text[stretch[first][1] : stretch[last][2]]
                if len(surface) <= _LONGEST:
                    found.setdefault(folded(surface), surface)
    found.pop("", None)
    return found


Unit = tuple[str, int, int]
"""A word or an unspaced letter, its start and its end."""


def _stretches(text: str) -> Iterator[list[Unit]]:
    """Words beside each other, and unspaced letters beside each other: phrases lie within one of these."""
    stretch: list[Unit] = []
    end = 0
    for piece in _PIECE.finditer(text):
        if piece.start() > end and stretch:
            yield stretch
            stretch = []
        end = piece.end()
        if piece[0].isspace():
            continue
        if not _UNSPACED_RUN.match(piece[0]):
            stretch.append((piece[0], piece.start(), piece.end()))
            continue
        if stretch:
            yield stretch
            stretch = []
        yield [(letter, place, place + 1) for place, letter in enumerate(piece[0], start=piece.start())]
    if stretch:
        yield stretch


def _frequent(texts: Sequence[Phrases], least: int) -> dict[str, int]:
    """Phrase -> how many texts have it, of those that enough have."""
    counts = Counter(phrase for text in texts for phrase in text)
    return {phrase: n for phrase, n in counts.items() if n >= least}


def _surfaces(texts: Iterator[Phrases]) -> dict[str, str]:
    surfaces: dict[str, str] = {}
    for text in texts:
        for phrase, surface in text.items():
            surfaces.setdefault(phrase, surface)
    return surfaces


def _best(shares: Mapping[tuple[str, str], float], taken: set[str], place: int) -> dict[str, str | None]:
    """Phrase of one side -> the phrase of the other that it shares most with; None where several that are not inside one
    another share as much."""
    others: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for pair, share in shares.items():
        if not taken & {*pair}:
            others[pair[place]].append((share, pair[1 - place]))
    return {phrase: _one(found) for phrase, found in others.items()}


def _one(found: Sequence[tuple[float, str]]) -> str | None:
    """Of the phrases that share most the longest, if all of them lie in it."""
    most = max(share for share, _ in found)
    equals = [phrase for share, phrase in found if share == most]
    longest = max(equals, key=lambda phrase: (len(phrase), phrase))
    return longest if all(phrase in longest for phrase in equals) else None


_SHORT = re.compile(r"\(([^()\s][^()]{0,9})\)")
"""What stands in brackets may be an acronym where it is of two to ten characters."""


def acronyms_of(texts: Iterable[str], *, least: int = 1) -> dict[str, str]:
    """Acronym -> the long form that most texts give it, of those that at least so many texts explain; in the order of letters.

    Explained as in "paid time off (PTO)" (Schwartz and Hearst, PSB 2003, algorithm 1).
    """
    counts: dict[str, Counter[str]] = {}
    for text in texts:
        for short, long in set(explained(text)):
            counts.setdefault(short, Counter())[long] += 1
    best = {short: max(forms.items(), key=lambda form: (form[1], form[0])) for short, forms in counts.items()}
    return {short: long for short, (long, n) in sorted(best.items()) if n >= least}


def explained(text: str) -> Iterable[tuple[str, str]]:
    """Acronyms of a text with their long forms, in its order."""
    for match in _SHORT.finditer(text):
        short = match[1].strip()
        if not _may_be_short(short):
            continue
        words = text[max(0, match.start() - 200) : match.start()].split()
        before = " ".join(words[-_most_words(short) :])
        long = _long_form(short, before)
        if long is not None:
            yield short, long


def _may_be_short(short: str) -> bool:
    """Two characters or more, a capital among them, two words at most; a list, a number and a reference are none."""
    return (
        len(short) >= 2
        and short[0].isalnum()
        and any(each.isupper() for each in short)
        and len(short.split()) <= 2
        and not re.search(r"[;,=]|\d{3}", short)
    )


def _most_words(short: str) -> int:
    """Words of a long form, at most."""
    return min(len(short) + 5, 2 * len(short))


def _long_form(short: str, before: str) -> str | None:
    """The shortest stretch at the end of what stands before that has the letters of the acronym in order; None where none has.

    Letters are looked for from the last to the first. The first has to begin a word.
    """
    place = len(before)
    for number in range(len(short) - 1, -1, -1):
        letter = short[number].casefold()
        if not letter.isalnum():
            continue
        place -= 1
        while place >= 0 and (
            before[place].casefold() != letter or (number == 0 and place > 0 and before[place - 1].isalnum())
        ):
            place -= 1
        if place < 0:
            return None
    long = before[before.rfind(" ", 0, place + 1) + 1 :].strip(" \t\"'([")
    words = long.split()
    fits = len(words) <= _most_words(short) and len(long) > len(short)
    return long if fits and short not in words else None
