from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prompts
from generators.mending import Mender, Said

PROMPT = prompts.load("answer_cited")
SAID = Said.of(
    PROMPT.turns,
    question="What are frames made of?",
    titles=["Frames", "Paid leave"],
    refusal=PROMPT.refusal,
)


def mended(text: str, *, cut: bool = False, said: Said = SAID) -> tuple[str, dict[str, int]]:
    mender = Mender(said)
    return mender.add(text) + mender.finish(cut=cut), mender.counts


@pytest.mark.parametrize(
    "text",
    [
        "Frames are brazed from chromoly tubes [1].",
        "I don't know.",
        "  \n Frames are brazed\x00 from \x1b[31mchromoly[/red] tubes.  ",
        "The year is 1984. [1] Frames are made of steel. [2]\n\n- Steel [1].\n- Tin [2].\n",
        "It is very, very, very light [1].",
        "Yes. Yes. [1]",
        "Run `a. b`. Then:\n```bash\nx\nx\nx\nx\nx\n```\nDone [1].",
        "Question marks end questions [1].",
        "Answers are short.",
        "",
        "\n",
    ],
)
def test_a_good_text_stays_as_it_is(text: str) -> None:
    assert mended(text) == (text, {})
    assert mended(text, cut=True) == (text, {})


@pytest.mark.parametrize(
    ("text", "left", "counts"),
    [
        ("Frames are of steel [1]. Frames are of steel [2]. More.", "Frames are of steel [1]. More.", {"loops": 1}),
        ("Frames are of steel.\n- Frames are of steel.\n", "Frames are of steel.\n", {"loops": 1}),
        (
            "It is all red. It is all tin. It is all red. It is all tin. No.",
            "It is all red. It is all tin.",
            {"loops": 2},
        ),
        ("Steel. Steel. Steel. Steel. Steel.", "Steel. Steel.", {"loops": 2}),
        ("It is steel and tin and tin and tin and tin and tin", "It is steel and tin", {"loops": 1}),
        ("tubes " * 50, "tubes", {"loops": 1}),
        ("One is good. Two is " + "a b c " * 9, "One is good.", {"loops": 1}),
    ],
)
def test_loops_are_said_once_and_end_the_text(text: str, left: str, counts: dict[str, int]) -> None:
    assert mended(text) == (left, counts)


@pytest.mark.parametrize(
    ("text", "left", "counts"),
    [
        ("Answer: Steel [1].", "Steel [1].", {"echoes": 1}),
        ("**Answer:** Steel [1].", "Steel [1].", {"echoes": 1}),
        ("Answer:\nSteel [1].", "Steel [1].", {"echoes": 1}),
        ("Question: What are frames made of?\nAnswer: Steel [1].", "Steel [1].", {"echoes": 2}),
        ("What are frames made of? Steel [1].", "Steel [1].", {"echoes": 1}),
        ("Steel [1].\n\nQuestion: And wheels?\nAnswer: Tin [2].", "Steel [1].", {"echoes": 1}),
        ("[1] Frames\nFrames are of steel [1].", "Frames are of steel [1].", {"echoes": 1}),
        ("Shops close at six [1]. Steel [2].", "Steel [2].", {"echoes": 1}),
        ("Answer:", "", {"echoes": 1}),
    ],
)
def test_what_the_prompt_says_is_left_out(text: str, left: str, counts: dict[str, int]) -> None:
    assert mended(text) == (left, counts)


@pytest.mark.parametrize("text", ["3. Bunk house [3]", "3. Bunk house. [3]", "3. BUNK HOUSE [3]\nSeven beds [3]."])
def test_a_numbered_heading_is_no_answer(text: str) -> None:
    titles = ["Travel policy › Daily allowance", "ROV Krabbe", "Station meeting, 11 March 2026 › 3. Bunk house"]
    said = Said.of(PROMPT.turns, question="How much is a bed?", titles=titles)
    assert mended(text, said=said) == ("Seven beds [3]." if "Seven" in text else "", {"echoes": 1})
    for kept in ("Bunk house [3]", "ROV Krabbe [2]", "3. Bunk house has seven beds [3]."):
        assert mended(kept, said=said) == (kept, {})


def test_a_search_of_few_words_may_be_the_answer() -> None:
    assert mended("Chromoly tubes.", said=Said.of(PROMPT.turns, question="chromoly tubes"))[1] == {}


def test_a_half_sentence_is_left_out_unless_it_is_all_there_is() -> None:
    assert mended("Steel [1]. And the whe", cut=True) == ("Steel [1].", {"half_sentences": 1})
    assert mended("Steel [1]. And the whe") == ("Steel [1]. And the whe", {})
    assert mended("Frames are of ste", cut=True) == ("Frames are of ste", {})
    assert mended("So:\n```\nx = [", cut=True) == ("So:\n```\nx = [", {})


def test_the_first_unit_comes_word_by_word_and_later_ones_whole() -> None:
    mender = Mender(SAID)
    pieces = [
        mender.add(piece) for piece in ("Frames", " are", " of", " steel", " [1", "].", " They", " last", " long")
    ]
    assert pieces == ["", "Frames", " are", " of", " steel", " [1].", "", "", ""]
    assert mender.add(" and are light.") == ""
    assert mender.finish(cut=False) == " They last long and are light."


def test_a_model_that_loops_is_stopped_at_once() -> None:
    mender = Mender(SAID)
    sentences = 0
    while not mender.done:
        mender.add("Steel tubes are light. ")
        sentences += 1
    assert sentences < 6


WORDS = st.sampled_from(
    [
        *(
            [
                "steel",
                "Tin",
                "a",
                "x.",
                "y!",
                "Answer:",
                "Question:",
                "[1]",
                "[2]",
                "Frames",
                "3.5",
                "Dr.",
                "-",
                "(",
                "`",
                "```",
            ]
        ),
        *(
            "\n",
            "\n\n",
            '"',
            "What are frames made of?",
            "Shops close at six [1].",
            "It is light and good.",
            "I don't know.",
        ),
    ]
)
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from(["", " ", " ", "  "])), max_size=60).map(
    lambda parts: "".join(word + blank for word, blank in parts)
)


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(TEXTS, st.text(max_size=80)), cuts=st.lists(st.integers(1, 9), min_size=1), cut=st.booleans())
def test_pieces_change_nothing(text: str, cuts: list[int], cut: bool) -> None:
    mender, out, place = Mender(SAID), "", 0
    for number in range(len(text) + 1):
        size = cuts[number % len(cuts)]
        out += mender.add(text[place : place + size])
        place += size
    out += mender.finish(cut=cut)
    assert (out, mender.counts) == mended(text, cut=cut)


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(TEXTS, st.text(max_size=80)), cut=st.booleans())
def test_nothing_is_added_and_what_is_left_needs_no_mending_of_its_words(text: str, cut: bool) -> None:
    left, counts = mended(text, cut=cut)
    assert is_subsequence(left, text)
    if not counts:
        assert left == text


def is_subsequence(part: str, whole: str) -> bool:
    rest = iter(whole)
    return all(letter in rest for letter in part)


@settings(max_examples=25, deadline=None)
@given(
    words=st.lists(st.sampled_from(["a", "b", "a b c"]), min_size=60, max_size=120),
    cuts=st.lists(st.integers(1, 9), min_size=1),
)
def test_pieces_change_nothing_in_long_units(words: list[str], cuts: list[int]) -> None:
    text = " ".join(f"{word} {number}" if number % 7 else word for number, word in enumerate(words))
    mender, out, place = Mender(SAID), "", 0
    for number in range(len(text) + 1):
        size = cuts[number % len(cuts)]
        out += mender.add(text[place : place + size])
        place += size
    assert out + mender.finish(cut=False) == mended(text)[0]
