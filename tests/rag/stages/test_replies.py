from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.replies import (
    folded,
    list_form,
    parse_code,
    parse_keywords,
    parse_list,
    parse_passage,
    parse_question,
    parse_wordings,
    without_reasoning,
)

PARSERS: list[Callable[[str], str]] = [parse_code, parse_keywords, parse_passage, parse_question]
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


ANNOUNCED = [
    "Sure!",
    "Okay",
    "Of course.",
    "Sure, here are three other search queries.",
    "Sure! Here is the question.",
    "Certainly! Here they are:",
    "Here are three other search queries.",
    "以下是两个查询：",
    "```text",
    "```",
    "~~~",
    "Question:",
    "**Queries:**",
]


@pytest.mark.parametrize("line", ANNOUNCED)
def test_an_announcement_or_a_fence_is_no_query(line: str) -> None:
    assert parse_wordings(line, n=3) == []
    assert parse_question(line) == ""
    assert parse_wordings(f"{line}\npaid leave", n=3) == ["paid leave"]
    assert parse_question(f"{line}\npaid leave") == "paid leave"


@pytest.mark.parametrize(
    "line",
    [
        "General question: paid leave",
        "Sub-question 1: paid leave",
        "sub question 2: paid leave",
        "Question: paid leave",
        "Tool 1: paid leave",
        "**Question 1:** paid leave",
        "**Question 1**: paid leave",
        "Search query: paid leave",
        "Query 1：paid leave",
        "Stand-alone question: 'paid leave'",
        "1. Question: paid leave",
        "１．paid leave",
        "1、paid leave",
        "（2）paid leave",
        "② paid leave",
        "**1. paid leave**",
        '"paid leave",',
        "Sure! Here is the question: paid leave",
    ],
)
def test_labels_and_numbers_before_a_query_are_taken_off(line: str) -> None:
    assert parse_wordings(line, n=3) == ["paid leave"]
    assert parse_question(line) == "paid leave"


def test_the_name_of_a_tool_stays_without_its_bold_marks() -> None:
    assert parse_wordings("1. **Weather API**: tells the weather", n=3) == ["Weather API: tells the weather"]


@pytest.mark.parametrize(
    "query",
    [
        "sure deodorant ingredients",
        "Of course, what is a golf course?",
        "ok google commands",
        "okra recipes for the cold season here.",
        "ok?",
        "questions to ask a landlord",
        "tool steel: hardness by grade",
        "Article 12: rights of the child",
        "document 3: who signed it",
        "1.5 days of leave",
        "１．５日の休暇",
        "2**3 and 4**5 in Python",
        "what does **kwargs mean",
        'what is "just in time"',
        "here is where the river ends",
    ],
)
def test_a_query_that_only_looks_like_an_announcement_or_a_label_stays(query: str) -> None:
    assert parse_wordings(query, n=3) == [query]


PIECES = st.sampled_from(
    [*ANNOUNCED, "1. ", "** ", '"', "Tool 2: ", "\n", "\n", "\u2028", "paid leave", "Paid Leave!", "days"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)), st.integers(1, 5), st.sampled_from(["", "paid leave"]))
def test_any_reply_gives_distinct_queries_of_one_line_each(text: str, n: int, asked: str) -> None:
    found = parse_wordings(text, n=n, but_not=asked)
    words = [folded(query) for query in found]
    assert len(found) <= n
    assert len({*words, folded(asked), ""}) == len(words) + len({folded(asked), ""})
    for query in found:
        assert query == query.strip()
        assert len(query) <= 500
        assert len(query.splitlines()) == 1
        assert query not in ANNOUNCED
        assert not query.endswith((":", "："))


@given(st.text(), st.integers(1, 5))
def test_no_reply_raises(text: str, n: int) -> None:
    for parse in PARSERS:
        assert isinstance(parse(text), str)
    assert len(parse_wordings(text, n=n)) <= n
    assert without_reasoning(text) in text


@pytest.mark.parametrize(
    ("reply", "items"),
    [
        ('["Ada", "Bo"]', ["Ada", "Bo"]),
        ('```json\n{"names": ["Ada"], "count": 1}\n```', ["Ada"]),
        ('[["Ada"], ["Bo", "B."]] and ["Cy"]', ["Ada", "Bo", "B."]),
        ('["Ada", "Bo', ["Ada"]),
        ('["a \\"b\\"", "c\\\\d", "e]f"]', ['a "b"', "c\\d", "e]f"]),
        ('["\\ud800x", "a\\qb"]', ["?x", "a\\qb"]),
        ("[]", []),
        ('[""]', []),
        ("1. Ada\n2) **Bo**", ["Ada", "Bo"]),
        ("None.", []),
        ("nothing", []),
        ("Ada", None),
        ("", None),
        ('<think>["Ada"]', None),
    ],
)
def test_the_items_of_a_list(reply: str, items: list[str] | None) -> None:
    assert parse_list(reply) == items


LISTS = st.lists(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n<"), min_size=1, max_size=8),
    max_size=5,
)


@given(LISTS)
def test_any_list_that_is_written_as_json_is_read_and_keeps_its_form(items: list[str]) -> None:
    shown = json.dumps(items, ensure_ascii=False)
    assert parse_list(shown) == [item.strip() for item in items if re.search(r"\w", item)]
    plain = [item for item in items if json.dumps(item, ensure_ascii=False) == f'"{item}"']
    assert re.fullmatch(list_form(5), json.dumps(plain, ensure_ascii=False))


@given(st.text())
def test_a_list_is_texts_with_words_or_none(text: str) -> None:
    found = parse_list(text)
    assert found is None or all(re.search(r"\w", item) and item.encode("utf-8") for item in found)
