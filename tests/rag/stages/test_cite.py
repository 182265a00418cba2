from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.types import Citation, Document
from rag.stages.cite import aim_at, attribute, claim_of, says, support, with_similarity
from rag.stages.markers import MarkerFilter, check_markers, without_markers

IDS = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "kept", "removed"),
    [
        ("Steel [1].", "Steel [1].", 0),
        ("Steel [1][2], round [3].", "Steel [1][2], round [3].", 0),
        ("Steel [1, 2; 3].", "Steel [1, 2; 3].", 0),
        ("Steel [ 2 ].", "Steel [ 2 ].", 0),
        ("Steel [4].", "Steel.", 1),
        ("Steel  [0] is.", "Steel is.", 1),
        ("Steel[9]", "Steel", 1),
        ("[7] Steel", " Steel", 1),
        ("Steel [1, 9, 2].", "Steel [1, 2].", 1),
        ("Steel [8, 9].", "Steel.", 2),
        ("Steel [999999999].", "Steel.", 1),
        ("Steel [9999999999].", "Steel.", 1),
        ("Steel [99999999999999999].", "Steel [99999999999999999].", 0),  # so long a number is no marker
        ("See [a], [1a], [], [1-3], (1), [1", "See [a], [1a], [], [1-3], (1), [1", 0),
        ("Use `x[9]` and `y[1]` [2].", "Use `x[9]` and `y[1]` [2].", 0),
        ("```\nargv[0]\n``` [1] [9]", "```\nargv[0]\n``` [1]", 1),
        ("an open ` here [9]\nnext [9]", "an open ` here\nnext", 2),
        ("an open ` here [9] and `x[9]`", "an open ` here [9] and `x`", 1),
        ("``a ` [9]`` [9]", "``a ` [9]``", 1),
        ("far ` " + "x" * 1_100 + "[9]`", "far ` " + "x" * 1_100 + "`", 1),
        ("```\nnever closed [9]", "```\nnever closed [9]", 0),
        ("１ ［1］ [１] [٢]", "１ ［1］ [１] [٢]", 0),
        ("\x1b[31m red [9] \x00", "\x1b[31m red \x00", 1),
        ("", "", 0),
    ],
)
def test_markers_that_point_nowhere_are_removed_and_nothing_else(text: str, kept: str, removed: int) -> None:
    checked = check_markers(text, IDS)
    assert (checked.text, checked.removed) == (kept, removed)


def test_citations_point_at_the_marker_in_the_final_text() -> None:
    checked = check_markers("One [9] two [1, 9]. Three [3,3] four [2].", IDS)
    assert checked.text == "One two [1]. Three [3,3] four [2]."
    assert [(c.marker, c.doc_id, checked.text[c.start : c.end], c.by) for c in checked.citations] == [
        (1, "a", "[1]", "model"),
        (3, "c", "[3,3]", "model"),
        (2, "b", "[2]", "model"),
    ]


def test_markers_in_code_are_counted_and_cite_nothing() -> None:
    checked = check_markers("Use `x[1]` or `x[9]` [2].\n```\ny[3]\n```", IDS)
    assert ([c.marker for c in checked.citations], checked.in_code, checked.removed) == ([2], 2, 0)


def test_a_citation_says_whether_its_passage_has_such_words() -> None:
    """A number that the model copied out of a passage points at another one, which knows nothing of it."""
    documents = [
        Document(doc_id="a", text="Refunds are paid within nine days, see [2] Official terms."),
        Document(doc_id="b", text="Bicycles are trued on Mondays."),
    ]
    text = "Refunds are paid within nine days [2]. Bicycles are trued on Mondays [2]. Refunds take nine days [1]."
    checked = with_similarity(text, check_markers(text, ["a", "b"]).citations, documents)
    assert [(c.marker, c.similar) for c in checked] == [(2, False), (2, True), (1, True)]
    [plain] = with_similarity("Yes [2].", check_markers("Yes [2].", ["a", "b"]).citations, documents)
    assert plain.similar


def test_without_passages_every_marker_goes() -> None:
    assert check_markers("So [1] it [2] is", []).text == "So it is"


TEXTS = st.one_of(
    st.text(alphabet="ab[]19, ;`\n\t", max_size=60),
    st.lists(
        st.sampled_from(["[1]", " [9]", "[1, 9]", " ", "`", "```", "\n", "x", "[", "1", "]", ","]), max_size=30
    ).map("".join),
)


@given(TEXTS, st.lists(st.integers(1, 7), max_size=60))
def test_a_text_in_pieces_gives_what_the_whole_gives(text: str, sizes: list[int]) -> None:
    whole = check_markers(text, IDS)
    filter_ = MarkerFilter(IDS)
    shown, at = [], 0
    for size in [*sizes, len(text) + 1]:
        shown.append(filter_.add(text[at : at + size]))
        at += size
        assert whole.text.startswith("".join(shown))
    shown.append(filter_.finish())
    assert "".join(shown) == whole.text
    assert (filter_.citations, filter_.removed) == (whole.citations, whole.removed)


@given(TEXTS)
def test_checking_twice_removes_nothing_more_than_checking_once(text: str) -> None:
    checked = check_markers(text, IDS)
    for citation in checked.citations:
        assert str(citation.marker) in checked.text[citation.start : citation.end]
    assert len(checked.text) <= len(text)


def test_a_marker_is_held_back_until_it_is_judged() -> None:
    filter_ = MarkerFilter(IDS)
    assert [filter_.add(piece) for piece in ("Steel", " ", "[", "9", "]", ". ", "[x", "]")] == [
        "Steel", "", "", "", "", ".", " [x", "]",
    ]  # fmt: skip


PASSAGES = [
    Document(
        doc_id="frames", title="Frames", text="Frames are brazed from chromoly tubes and aligned before painting."
    ),
    Document(doc_id="wheels", title="Wheels", text="A wheel is trued to half a millimetre before it leaves the stand."),
    Document(doc_id="leave", title="Holidays", text="Everyone has thirty days of paid leave a year."),
]


def attributed(text: str, **arguments: float) -> list[tuple[str, str]]:
    found = attribute(text, PASSAGES, cited=check_markers(text, IDS).citations, **arguments)  # type: ignore[arg-type]
    return [(c.doc_id, text[c.start : c.end]) for c in found]


def test_sentences_go_to_the_passage_whose_words_they_use() -> None:
    text = "Frames are brazed from chromoly tubes. Everyone has thirty days of leave. Cats sleep in the warm sun."
    assert attributed(text) == [
        ("frames", "Frames are brazed from chromoly tubes."),
        ("leave", "Everyone has thirty days of leave."),
    ]


def test_support_is_the_weighted_share_worked_by_hand() -> None:
    # Terms: brazed (in 1 of 3 passages, log 4), before (in 2, log 2.5), purple (in none, log 7).
    support = (math.log(4) + math.log(2.5)) / (math.log(4) + math.log(2.5) + math.log(7))
    text = "Brazed before purple."
    assert attributed(text, threshold=support - 1e-9) == [("frames", text)]
    assert attributed(text, threshold=support + 1e-9) == []
    lead = math.log(4) / (math.log(4) + math.log(2.5) + math.log(7))  # wheels has "before" too
    assert attributed(text, threshold=0.1, margin=lead - 1e-9) == [("frames", text)]
    assert attributed(text, threshold=0.1, margin=lead + 1e-9) == []


def test_a_sentence_that_has_a_marker_is_left_alone() -> None:
    assert attributed("Frames are brazed from chromoly tubes [2].") == []
    # A marker after a full stop may belong to either side, so both sides are left alone.
    assert attributed("Frames are brazed from chromoly tubes. [2] Everyone has thirty days of leave.") == []


def test_of_two_equal_passages_none_is_named() -> None:
    twice = [PASSAGES[0], Document(doc_id="copy", text=PASSAGES[0].text, title="Frames")]
    assert attribute("Frames are brazed from chromoly tubes.", twice) == ()


def test_too_few_words_are_not_attributed() -> None:
    assert attributed("Chromoly.") == []
    assert attributed("") == []
    assert attribute("Frames are brazed from tubes.", []) == ()


def test_attribution_is_marked_as_such() -> None:
    [citation] = attribute("Frames are brazed from chromoly tubes.", PASSAGES)
    assert citation == Citation(marker=1, doc_id="frames", start=0, end=38, by="attribution")


def test_where_words_have_no_spaces_characters_are_the_terms() -> None:
    passages = [Document(doc_id="a", text="员工请假三十天。生病不算。"), Document(doc_id="b", text="车架保修十年。")]
    [citation] = attribute("请假有三十天。", passages)
    assert (citation.doc_id, citation.start, citation.end) == ("a", 0, 7)


LEAVE = "The office is in Kiel. The office is open daily. Leave is 30 days. The office has a garden."
WRAPPED = (
    "Travel\n\nFor every journey of less than six hours people are asked\nto take the train. Flights need a reason."
)


@pytest.mark.parametrize(
    ("passage", "claim", "sentence"),
    [
        (LEAVE, "The office gives 30 days of leave [1]", "Leave is 30 days."),
        (LEAVE, "Penguins swim far", None),
        (LEAVE, "", None),
        (LEAVE, "It is as it was", None),  # no term
        ("", "Leave is 30 days", None),
        ("Gears turn. Steel rusts. Gears turn.", "steel gears", "Steel rusts."),
        (WRAPPED, "People take the train for journeys under six hours.", WRAPPED[8:-23]),
        ("Urlaub dauert dreißig Tage. Krankheit zählt nicht.", "DREISSIG? dreißig Tage", "Urlaub dauert dreißig Tage."),
        ("😀 请假三十天。生病不算。", "生病", "生病不算。"),
        ("ลาพักร้อนสามสิบวัน\n\nป่วยไม่นับ", "ป่วย", "ป่วยไม่นับ"),
        ("休暇は三十日・です。病気は数えない。", "病気・", "病気は数えない。"),
    ],
)
def test_the_supporting_sentence_shares_most_rare_words(passage: str, claim: str, sentence: str | None) -> None:
    span = support(claim, passage)
    assert (None if span is None else passage[slice(*span)]) == sentence


def test_the_share_of_a_supporting_sentence_is_worked_by_hand() -> None:
    # Of three sentences, two have "steel" (log 2.5), one "tube" (log 4), none "purple" (log 7).
    passage, claim = "Steel rusts. Steel tubes. Wheels turn.", "purple steel tubes"
    share = (math.log(2.5) + math.log(4)) / (math.log(2.5) + math.log(4) + math.log(7))
    assert support(claim, passage, threshold=share - 1e-9) == (13, 25)
    assert support(claim, passage, threshold=share + 1e-9) is None


def test_of_equal_sentences_the_first_is_marked() -> None:
    assert support("steel tubes", "Steel tubes. Cold. Tubes of steel.") == (0, 12)


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("Frames are steel [1].", ["Frames are steel"]),
        ("See no. 3. Frames are steel. [2] Wheels are round [1, 3].", ["Frames are steel."] + 2 * ["Wheels are round"]),
        ("Frames [1] are steel [2].", ["Frames", "Frames are steel"]),
        ("[1] Frames are steel. Wheels are round.", ["Frames are steel."]),
        ("[1][2]", ["", ""]),
    ],
)
def test_a_marker_stands_behind_what_is_said_before_it(text: str, claims: list[str]) -> None:
    assert [claim_of(text, citation) for citation in check_markers(text, IDS).citations] == claims


def test_an_attributed_sentence_is_its_own_claim() -> None:
    text = "Wheels turn. Frames are brazed from chromoly tubes."
    [citation] = attribute(text, PASSAGES)
    assert claim_of(text, citation) == "Frames are brazed from chromoly tubes."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't know.", True),
        ("I don’t know", True),
        ('"I DONT KNOW!"', True),
        ("I do not know [1].", True),
        ("Sorry, I don't know.", True),
        ("I don't know. The passages are about frames and not about cats at all.", True),
        ("Answer: I don't know", True),
        ("Those who don't know the way may ask at the gate.", False),
        ("People say I don't know much, yet the frame is made of steel tubes [1].", False),
        ("Steel.", False),
        ("", False),
    ],
)
def test_a_refusal_is_known_by_its_words(text: str, expected: bool) -> None:
    assert says(text, "I don't know") is expected


def test_without_a_phrase_nothing_is_a_refusal() -> None:
    assert not says("I don't know", "")


def test_markers_can_be_taken_out() -> None:
    assert without_markers("Steel [1], round [2, 3].") == "Steel, round."


class TestAimed:
    def documents(self) -> list[Document]:
        return [
            Document(doc_id="a", text="The office closes at six on Fridays."),
            Document(doc_id="b", text="You may carry five days of leave into the next year."),
        ]

    def test_a_number_without_such_words_becomes_that_of_the_passage_that_has_them(self) -> None:
        assert aim_at(self.documents())("Hello. You may carry five days into the next year.", [1]) == [2]

    def test_the_right_one_stays_and_a_wrong_one_beside_it_goes(self) -> None:
        assert aim_at(self.documents())("You may carry five days into the next year.", [1, 2]) == [2]

    def test_the_sentence_before_the_marker_counts_and_no_earlier_one(self) -> None:
        assert aim_at(self.documents())("You may carry five days [2]. The office closes at six.", [1]) == [1]

    def test_a_number_that_one_passage_lacks_and_another_has_decides(self) -> None:
        titled = Document(
            doc_id="a", title="Constitution 1.8", text="The Technical Committee may have members at most."
        )
        holds = Document(doc_id="b", title="Constitution 1.8", text="The Technical Committee has at most 8 members.")
        assert aim_at([titled, holds])("The Technical Committee can have 8 members at most.", [1]) == [2]
        assert aim_at([titled, holds])("The Technical Committee can have 9 members at most.", [1]) == [1]
        assert aim_at([titled, holds])("The Technical Committee can have members at most.", [1]) == [1]

    @pytest.mark.parametrize("before", ["", "[2] ", "Zebras are striped animals."])
    def test_where_words_say_nothing_nothing_changes(self, before: str) -> None:
        assert aim_at(self.documents())(before, [1]) == [1]


class TestMovedMarkers:
    def test_markers_are_moved_and_counted_and_said_once(self) -> None:
        texts = ["The office closes at six.", "Five days of leave may be carried over."]
        documents = [Document(doc_id=f"d{place}", text=text) for place, text in enumerate(texts)]
        checked = check_markers(
            "Five days of leave may be carried over. [1][2] The office closes at six [1].",
            ["d0", "d1"],
            aim=aim_at(documents),
        )
        assert checked.text == "Five days of leave may be carried over. [2] The office closes at six [1]."
        assert [(c.marker, c.doc_id, checked.text[c.start : c.end]) for c in checked.citations] == [
            (2, "d1", "[2]"),
            (1, "d0", "[1]"),
        ]
        assert (checked.moved, checked.removed) == (1, 0)

    def test_pieces_give_the_same(self) -> None:
        text = "Five days of leave may be carried over. [1][2] The office closes at six [1]."
        documents = [Document(doc_id="d0", text="The office closes at six."), Document(doc_id="d1", text=text[:38])]
        aim = aim_at(documents)
        whole = check_markers(text, ["d0", "d1"], aim=aim)
        for size in (1, 3, 7):
            filter_ = MarkerFilter(["d0", "d1"], aim=aim)
            pieces = [filter_.add(text[at : at + size]) for at in range(0, len(text), size)]
            assert filter_.checked("".join(pieces) + filter_.finish()) == whole
