"""Where a quotation stands in a text: its very characters, or the same after copying changed dashes, marks and Greek."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragline_recipes.verbatim import occurrences


@pytest.mark.parametrize(
    ("quotation", "text", "found"),
    [
        ("port", "The port. A report.", ["port"]),
        ("the  PORT", "In the\nport.", ["the\nport"]),
        ("interferon-beta", "Interferon–β helps.", ["Interferon–β"]),
        ('said "no"', "She said “no” twice.", ["said “no”"]),
        ("naive", "A naïve and a nai\u0308ve one", ["naïve", "nai\u0308ve"]),
        ("- 5", "at −5 or − 5", ["− 5"]),
        ("北京", "他在北京市。", ["北京"]),
        ("Aurora.", "The Aurora.", ["Aurora."]),
        ("fine", "It is ﬁne.", ["ﬁne"]),
        ("Titanic", "The Aurora.", []),
        ("", "The Aurora.", []),
        ("   ", "The Aurora.", []),
        ("aa", "aa aa aaa", ["aa", "aa"]),
    ],
)
def test_what_is_found_and_its_characters(quotation: str, text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in occurrences(quotation, text)] == found


def test_letter_case_counts_where_the_very_characters_are_there() -> None:
    text = "us and US"
    assert occurrences("US", text) == [(7, 9)]
    assert occurrences("Us", text) == [(0, 2), (7, 9)]


WORDS = st.lists(st.text(alphabet="abα é“-", min_size=1, max_size=6), min_size=1, max_size=6)


@given(WORDS, st.data())
def test_every_stretch_of_whole_words_is_found_where_it_stands(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    ends = [place for place in range(len(text) + 1) if place in (0, len(text)) or text[place - 1] == " "]
    start = data.draw(st.sampled_from(ends[:-1] or [0]))
    quotation = text[start:].strip()
    if quotation:
        assert any(text[s:e] == quotation for s, e in occurrences(quotation, text))


@given(st.text(max_size=30), st.text(max_size=60))
def test_spans_lie_in_the_text_in_order_and_apart(quotation: str, text: str) -> None:
    spans = occurrences(quotation, text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    for _, end in spans:
        assert not unicodedata.combining(text[end]) if end < len(text) else True
