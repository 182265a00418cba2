"""A sentence that joins facts of two passages says which is which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.types import Document
from rag.stages.cite import aim_at
from rag.stages.clauses import ClauseMarks
from rag.stages.markers import check_markers, without_markers

PASSAGES = [
    Document(doc_id="rates", text="The daily rate is 120 euros at home and 190 euros abroad, hotels included."),
    Document(doc_id="deadline", text="Claims are to be sent in 90 days after the end of the trip, with receipts."),
    Document(doc_id="zh", text="国外每天的补贴是一百九十欧元"),
]


def marked(text: str) -> tuple[str, int]:
    marks = ClauseMarks(PASSAGES)
    return marks.add(text) + marks.finish(), marks.added


TRIP = "90 days after the end of the trip"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"190 euros abroad, {TRIP} [2].", f"190 euros abroad [1], {TRIP} [2]."),
        (f"190 euros abroad, {TRIP}. [2]", f"190 euros abroad [1], {TRIP}. [2]"),
        (f"190 euros abroad and {TRIP} [2].", f"190 euros abroad [1] and {TRIP} [2]."),
        (f"190 euros abroad, {TRIP} [1].", f"190 euros abroad [1], {TRIP} [1]."),
        (f"190 euros abroad, however, {TRIP} [2].", f"190 euros abroad [1], however, {TRIP} [2]."),
        (f"120 euros at home, 190 euros abroad, {TRIP} [2].", f"120 euros at home, 190 euros abroad [1], {TRIP} [2]."),
        (f"国外每天一百九十欧元，{TRIP} [2]。", f"国外每天一百九十欧元 [3]，{TRIP} [2]。"),
    ],
)
def test_the_clause_of_another_passage_gets_its_marker(text: str, wanted: str) -> None:
    assert marked(text) == (wanted, 1)


@pytest.mark.parametrize(
    "text",
    [
        "120 euros at home, 190 euros abroad [1].",
        "190 euros abroad [1], 90 days after the trip [2].",
        "Hotels, receipts, and trips [2].",
        "Cats sleep in the sun, 90 days after the trip [2].",
        "190 euros abroad, as nobody would have thought [2].",
        "190 euros abroad. 90 days after the trip. [2]",
        "Use `190 euros abroad`, 90 days after the trip [2].",
        "190 euros abroad, `90 days` after the trip [2].",
        "190 euros abroad, 90 days " + "as it goes on " * 20 + "after the trip [2].",
        "190 euros abroad, 90 days after the trip.",
        "190 euros abroad, 90 days after the trip. So it is [2].",
        "190 euros abroad,",
        "[1], [2], and",
        "",
    ],
)
def test_nothing_is_added_where_one_passage_has_all_or_none_is_clear(text: str) -> None:
    assert marked(text) == (text, 0)


@pytest.mark.parametrize("markers", ["[1]", "[1][2]", "[1, 2]"])
def test_the_marker_at_the_end_is_aimed_by_its_own_clause(markers: str) -> None:
    text, _ = marked(f"190 euros abroad, 90 days after the end of the trip {markers}.")
    checked = check_markers(text, [each.doc_id for each in PASSAGES], aim=aim_at(PASSAGES))
    assert checked.text == "190 euros abroad [1], 90 days after the end of the trip [2]."
    assert checked.moved == 1


SAID = ("190 euros abroad", "90 days after the trip", "120 euros at home", "国外每天的补贴", "x" * 90)
SIGNS = (" ", ",", ".", " and ", " an", "d", " [2]", "[1]", "[", "]", "2", "\n", "`", "，", "。", ")", ":")
PIECES = st.lists(st.sampled_from((*SAID, *SIGNS)), max_size=24).map("".join)


@given(PIECES, st.lists(st.integers(1, 9), max_size=60))
def test_a_text_in_pieces_gives_what_the_whole_gives_and_only_markers_are_added(text: str, sizes: list[int]) -> None:
    whole, added = marked(text)
    marks, shown, at = ClauseMarks(PASSAGES), list[str](), 0
    for size in [*sizes, len(text) + 1]:
        shown.append(marks.add(text[at : at + size]))
        at += size
        assert whole.startswith("".join(shown))
    shown.append(marks.finish())
    assert ("".join(shown), marks.added) == (whole, added)
    # a marker that is taken out takes the blanks before it, which may have been there without it
    assert without_markers(whole).replace(" ", "") == without_markers(text).replace(" ", "")
    assert len(whole) == len(text) + 4 * added
