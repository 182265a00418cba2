from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.stages.replies import (
    parse_code,
    parse_keywords,
    parse_passage,
    parse_plain,
    parse_question,
    parse_wordings,
    parse_yes_no,
    without_reasoning,
)

PARSERS: list[Callable[[str], str]] = [parse_code, parse_keywords, parse_passage, parse_plain, parse_question]
FENCED = "```python\ndef f(x):\n    return x\n```"


@pytest.mark.parametrize(
    "reply",
    [
        "Leave is thirty days.",
        "Sure! Here is a passage:\n\nLeave is thirty days.",
        "Certainly, here is what you asked for.\nLeave is thirty days.",
        "Passage: Leave is thirty days.",
        "**Passage:** Leave is thirty days.",
        '"Leave is thirty days."',
        "“Leave is thirty days.”",
        "```\nLeave is thirty days.\n```",
        "<think>\nthirty?\n</think>\n\nLeave is thirty days.",
        "</think>Leave is\nthirty   days.",
        "Leave\r\nis thirty days.",
    ],
)
def test_a_passage_is_read_without_what_stands_around_it(reply: str) -> None:
    assert parse_passage(reply) == "Leave is thirty days."


@pytest.mark.parametrize("reply", ["Sure is sure: the sun rises.", 'He said "yes" and "no"', "Here the rule differs."])
def test_a_passage_that_only_looks_like_an_announcement_stays(reply: str) -> None:
    assert parse_passage(reply) == reply


@pytest.mark.parametrize(
    "reply",
    [
        "paid leave, holiday, days off",
        "1. paid leave\n2. holiday\n3. days off",
        "- paid leave\n* holiday\n• days off",
        'Sure! Here are some keywords:\n"paid leave"\n`holiday`\n**days off**',
        "Keywords: paid leave; holiday; days off.",
        "paid leave • holiday • days off",
        "<think>leave, work</think>paid leave\n\nholiday\n\ndays off",
    ],
)
def test_keywords_of_every_kind_of_list_are_read(reply: str) -> None:
    assert parse_keywords(reply) == "paid leave holiday days off"


def test_repeated_keywords_are_votes_and_stay() -> None:
    assert parse_keywords("leave, leave\nleave") == "leave leave leave"


@pytest.mark.parametrize(
    "reply",
    [
        FENCED,
        f"Here is the code:\n\n{FENCED}\n\nIt returns x.",
        FENCED.removesuffix("```"),
        FENCED.replace("```", "~~~"),
        f"<think>{FENCED} or another</think>{FENCED}",
        f"{FENCED}\nor\n```\nother\n```",
        "Sure!\ndef f(x):\n    return x",
        "def f(x):\n    return x\n\n",
    ],
)
def test_a_program_is_read_with_its_indentation(reply: str) -> None:
    assert parse_code(reply) == "def f(x):\n    return x"


@pytest.mark.parametrize(
    "reply",
    [
        "How long is the warranty?",
        "Stand-alone question: How long is the warranty?",
        "User: How long is the warranty?",
        'Here is the question:\n"How long is the warranty?"\nIt stands alone.',
        "1. How long is the warranty?\n2. What else?",
        "<think>it = frame</think>\nHow long is the warranty?",
    ],
)
def test_the_first_question_is_read(reply: str) -> None:
    assert parse_question(reply) == "How long is the warranty?"


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("yes", True),
        ("No.", False),
        ("**Yes**, because", True),
        ("Answer: NO", False),
        ("<think>yes yes</think> no", False),
        ("<think>yes", None),
        ("perhaps", None),
        ("ja", None),
        ("", None),
        ("nothing", None),
    ],
)
def test_a_verdict_is_yes_or_no_or_unreadable(reply: str, verdict: bool | None) -> None:
    assert parse_yes_no(reply) is verdict


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("reply", ["", " \n\t ", "<think>it goes on", "<think>a</think>", "<think>a</think><think>b"])
def test_nothing_usable_gives_nothing(parse: Callable[[str], str], reply: str) -> None:
    assert parse(reply) == ""


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "reply", ["三十天的带薪休假", "тридцать дней отпуска", "dreißig Urlaubstage", "cut off in the midd"]
)
def test_other_languages_and_replies_that_were_cut_off_are_kept(parse: Callable[[str], str], reply: str) -> None:
    assert parse(reply) == reply


@given(st.text(), st.integers(1, 5))
def test_no_reply_raises(text: str, n: int) -> None:
    for parse in PARSERS:
        assert isinstance(parse(text), str)
    assert parse_yes_no(text) in (True, False, None)
    assert len(parse_wordings(text, n=n)) <= n
    assert without_reasoning(text) in text
