"""Model text -> an order of passages. Pure; any text and any count give a permutation, and a report of what was mended.

The text is a model's, so it is hostile: prose, other scripts' digits, numbers of any length.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from rag.core.replies import without_reasoning

_BRACKETS = str.maketrans("【】〔〕〖〗「」『』", "[][][][][]")
_LISTED = re.compile(r"\[([\d\s,;>|&]+)\]")
_NUMBER = re.compile(r"\d+")
_LONGEST = 9  # digits; no list is that long, and int() refuses thousands


@dataclass(frozen=True, slots=True, kw_only=True)
class PermutationReport:
    """What the text got wrong.

    Numbers that name no passage, numbers given again, passages left out. `fallback`: it named no passage at all,
    so the order is the input's.
    """

    unknown: int = 0
    repeated: int = 0
    missing: int = 0
    fallback: bool = False

    @property
    def ok(self) -> bool:
        return self == PermutationReport()


def parse_permutation(text: str, n: int) -> tuple[list[int], PermutationReport]:
    """The order, as positions from 0, in which `text` puts passages 1 to `n`, the best first.

    Reasoning up to `</think>` is left out. Numbers in brackets are read; only if none of them names a passage, bare
    numbers are. Unusual digits (full-width, circled, other scripts') count as digits. The first mention of a
    passage is its place; what was left out follows in input order.

    >>> parse_permutation("[3] > [1] > [3] > [7]", 3)
    ([2, 0, 1], PermutationReport(unknown=1, repeated=1, missing=1, fallback=False))
    """
    n = max(n, 0)
    text = unicodedata.normalize("NFKC", without_reasoning(text)).translate(_BRACKETS)
    bracketed = [number for listing in _LISTED.findall(text) for number in _NUMBER.findall(listing)]
    named = _positions(bracketed, n)
    numbers = bracketed
    if not any(position is not None for position in named):
        numbers = _NUMBER.findall(text)
        named = _positions(numbers, n)
    valid = [position for position in named if position is not None]
    first = list(dict.fromkeys(valid))
    missing = sorted(set(range(n)) - set(first))
    report = PermutationReport(
        unknown=len(numbers) - len(valid),
        repeated=len(valid) - len(first),
        missing=len(missing),
        fallback=n > 0 and not first,
    )
    return first + missing, report


def _positions(numbers: list[str], n: int) -> list[int | None]:
    values = [int(number) if len(number) <= _LONGEST else 0 for number in numbers]
    return [value - 1 if 1 <= value <= n else None for value in values]
