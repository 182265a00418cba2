"""Words that are wrong, as the benchmark of speech counts them by a library, beside the recurrence written out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

pytest.importorskip("jiwer", reason="needs the extra: pip install './plugins/media[test]'")

from plugins.media.benchmarks.speech import words, wrong


def by_hand(said: list[str], heard: list[str]) -> int:
    """Levenshtein's table over words."""
    table = np.zeros((len(said) + 1, len(heard) + 1), int)
    table[:, 0], table[0] = range(len(said) + 1), range(len(heard) + 1)
    for row, column in product(range(len(said)), range(len(heard))):
        changed = table[row, column] + (said[row] != heard[column])
        table[row + 1, column + 1] = min(table[row, column + 1] + 1, table[row + 1, column] + 1, changed)
    return int(table[-1, -1])


def test_the_library_counts_as_the_table_does() -> None:
    draw = np.random.default_rng(5)
    for _ in range(200):
        said, heard = ([*map(str, draw.integers(0, 6, draw.integers(least, 12)))] for least in (1, 0))
        assert wrong(said, heard) == by_hand(said, heard)


def test_case_and_marks_are_no_errors() -> None:
    assert wrong(words("C'est une chaussure!"), words("c'est UNE chaussure")) == 0
    assert wrong(words("deux bus rouges"), words("deux buts")) == 2
