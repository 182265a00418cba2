"""Sentence boundaries, with the usual traps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.ingest import sentences
from tests.cpu_time import least_cpu_s


def _cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["It rains.", "We stay in!", "Why?", "No idea."],
        ["Dr. Low met J. S. Bach at approx. 5 Main St. today.", "It was fine."],
        ["See e.g. Section 3.2 or fig. 4 there.", "It costs 3.50 euros."],
        ['"Stop." He left.', "(Or did he?)", "Nobody knows..."],
        ["1. Open the box.", "2. Take it out.", "- Mind the glass", "- and the wire"],
        ["今日は雨です。", "家にいます！", "はい。"],
    ],
)
def test_sentences_and_list_items_are_told_apart(expected: list[str]) -> None:
    if expected[0].startswith("1."):
        assert _cut("\n".join(expected)) == expected
    elif expected[0].startswith('"'):
        assert _cut(" ".join(expected)) == ['"Stop."', "He left.", *expected[1:]]
    else:
        assert _cut(" ".join(expected)) == expected


def test_a_wrapped_line_goes_on_and_a_blank_line_ends() -> None:
    assert _cut("one line\ngoes on\n\nanother paragraph") == ["one line\ngoes on", "another paragraph"]


def test_a_stop_before_a_small_letter_ends_nothing() -> None:
    assert _cut("The approx. five min. walk") == ["The approx. five min. walk"]


@given(st.text(st.sampled_from("aB1. \n\t!?。-)\"'…x")))
def test_every_character_that_is_not_space_is_in_one_sentence(text: str) -> None:
    spans = list(sentences(text))
    assert "".join("".join(text[s:e].split()) for s, e in spans) == "".join(text.split())
    assert all(text[s:e] == text[s:e].strip() != "" for s, e in spans)
    assert spans == sorted(spans)


@pytest.mark.parametrize(
    "text", ["." * 200_000 + "a", "\n" * 200_000 + "a", "\n " * 100_000, "1. A " * 40_000, '."' * 100_000]
)
def test_hostile_punctuation_takes_no_longer_than_prose(text: str) -> None:
    assert least_cpu_s(lambda: list(sentences(text)), enough=2) <= 2


@pytest.mark.parametrize(
    "sentence",
    [
        "Die Frist endet am 31. März um Mitternacht.",
        "Im 19. Jahrhundert kam der 2. König, z.B. Ludwig, bzw. Karl.",
        "On Jan. The Economist wrote it.",
        "It fell on Jan. 5 and on 5 févr. 2020.",
        "Le 3 janv. 2020, M. Dupont arriva.",
        "El Sr. López tiene núm. 4 en EE.UU. desde ayer.",
        "Siehe Abb. 3 und Nr. 4 der Anl.",
        "В 2019 г. Иванов получил 5 млн. Рублей не было.",
        "The U.S. Army and Ph.D. Students of J. R. R. Tolkien met.",
    ],
)
def test_abbreviations_ordinals_and_initials_end_nothing_in_any_language(sentence: str) -> None:
    assert _cut(f"{sentence} Danach. Then.") == [sentence, "Danach.", "Then."]


@pytest.mark.parametrize(
    "expected",
    [
        ["Er zahlte 31.", "Dann ging er."],
        ["He was 12.", "The next was 13."],
        ["It is art.", "God saw it.", "So did I."],
        ["यह पहला वाक्य है।", "यह दूसरा है।"],
        ["هل هذا صحيح؟", "نعم."],
    ],
)
def test_what_only_looks_like_one_ends(expected: list[str]) -> None:
    assert _cut(" ".join(expected)) == expected
