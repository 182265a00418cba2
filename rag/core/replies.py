"""Replies of a model -> the text that was wanted. Pure functions that never raise and know no stage.

Models announce ("Sure, here is ..."), number, quote, fence, think aloud and stop in the middle. What is wanted is
kept in any language; a reply without it gives an empty text.
"""

from __future__ import annotations

import json
import re
from typing import Any

_OPENED, _CLOSED = "<think>", "</think>"
_BULLET = re.compile(r"^\s*(?:(?:[-*•–]+|\(?\d{1,3}[.):]|\[\d{1,3}\])\s+|(?:[（(]?\d{1,3}[．。、：）](?!\d)|[①-⑳])\s*)")
"""A sign or a number before an item of a list. Full-width marks need no blank behind them."""

_ASKED_LABEL = re.compile(
    r"^\s*(?:(?:user|tool|version|variant|wording|(?:(?:search|general|simpler|rewritten|stand-?alone|sub)[- ]?)?"
    r"(?:query|question))\s*\d*\s*[:：]\s*)+",
    re.IGNORECASE,
)
"""The name of what was asked for, before it: "Sub-question 1:"."""

_LABEL = re.compile(
    r"^\s*\**(?:user|passage|answer|thought|document|abstract|article|summary|purpose|question|keywords?|code|"
    r"(?:stand-?alone|rewritten|general|sub-?) ?(?:question|query))\s*\d*\**\s*:\**\s*",
    re.IGNORECASE,
)
_ANNOUNCEMENT = re.compile(
    r"^\s*(?:(?:sure|certainly|of course|okay|ok)\b\s*[,!.]*(?:.*\bhere\b.*[.!])?|.*[:：])\s*$", re.IGNORECASE
)
"""A line that says what comes: it ends in a colon, or is no more than "Sure!" or "Sure, here you are."."""

_HERE_ARE = re.compile(
    r"^here (?:is|are)\b.*\b(?:quer(?:y|ies)|questions?|wordings?|versions?|descriptions?|tools?)\b[^?]*[.!]$",
    re.IGNORECASE,
)
"""The same as a sentence of its own: "Here are three other search queries."."""

_LEAD_IN = re.compile(r"^\s*(?:sure|certainly|of course|okay|ok)\b[\s,!.]*here\b[^:：]*[:：]\s*(?=\S)", re.IGNORECASE)
"""An announcement on the line of what it announces."""

_BOLD = re.compile(r"(?<!\w)\*\*(?=\S)([^*]+)(?<=\S)\*\*(?!\w)")
_FENCE = re.compile(r"^[ \t]*(```|~~~)[^\n`]*$", re.MULTILINE)
_CODE_STARTS = ("def ", "class ", "for ", "while ", "if ", "with ", "try:", "async ", "@")
_SPLIT = re.compile(r"[\n,;•]+")
_WORD = re.compile(r"\w+")
_QUOTES = "\"'`“”‘’«»*"
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[\[\]]', re.DOTALL)
"""A string or a bracket of a JSON text."""

_LONGEST_WORDING = 500  # characters; a longer line is not a search query


def without_reasoning(text: str) -> str:
    """The reply behind its reasoning block.

    A block that was never closed was cut off before any answer: nothing is left, also of what stands before it.

    >>> without_reasoning("<think>hm</think> yes"), without_reasoning("Let me see. <think>hm")
    (' yes', '')
    """
    _, closed, rest = text.rpartition(_CLOSED)
    return "" if _OPENED in (rest if closed else text) else rest if closed else text


def parse_passage(text: str) -> str:
    """Prose on one line: without an announcement before it, a label, a fence or quotation marks around it.

    >>> parse_passage('Sure! Here is a passage:\\n\\n"Leave is thirty\\ndays."')
    'Leave is thirty days.'
    """
    lines = [line for line in without_reasoning(text).splitlines() if line.strip() and not _FENCE.match(line)]
    if len(lines) > 1 and _ANNOUNCEMENT.match(lines[0]):
        lines = lines[1:]
    joined = " ".join(_LABEL.sub("", " ".join(lines)).split())
    return _unquoted(joined) if _WORD.search(joined) else ""


def parse_keywords(text: str) -> str:
    """Keywords one after another, repetitions kept: without bullets, numbers, quotation marks and announcements.

    >>> parse_keywords("Keywords:\\n1. paid leave\\n2. holiday, 'days off'")
    'paid leave holiday days off'
    """
    kept = []
    for line in without_reasoning(text).splitlines():
        line = _LABEL.sub("", _BULLET.sub("", line)).strip()
        if _ANNOUNCEMENT.match(line) or _FENCE.match(line):
            continue
        kept += [word.strip().strip(_QUOTES + ".").strip() for word in _SPLIT.split(line)]
    return " ".join(word for word in kept if _WORD.search(word))


def parse_code(text: str) -> str:
    """A program: the first fenced block, also one that was cut off; else all but an announcement.

    >>> parse_code("Here is it:\\n```python\\nx = 1\\n```\\nIt sets x.")
    'x = 1'
    """
    text = without_reasoning(text)
    fences = list(_FENCE.finditer(text))
    if fences:
        end = fences[1].start() if len(fences) > 1 else len(text)
        text = text[fences[0].end() : end]
    else:
        first, _, rest = text.lstrip("\n").partition("\n")
        text = rest if _ANNOUNCEMENT.match(first) and not first.startswith(_CODE_STARTS) else text
    return text.strip("\n").rstrip() if _WORD.search(text) else ""


def parse_question(text: str) -> str:
    """The first line that is neither announcement nor fence nor label: a question that was asked for alone.

    >>> parse_question("Sure! Here is the question.\\nGeneral question: How long is the warranty?")
    'How long is the warranty?'
    """
    for line in without_reasoning(text).splitlines():
        bare = _unquoted(_LABEL.sub("", _item(line)))
        if _is_asked(bare):
            return bare
    return ""


def parse_wordings(text: str, *, n: int, but_not: str = "") -> list[str]:
    """At most `n` different wordings, one a line, none equal to `but_not`; letter case is not a difference.

    >>> parse_wordings("Sure, here are two:\\n```text\\n1. **Query 1:** days off\\n２．holiday rules\\n```", n=3)
    ['days off', 'holiday rules']
    """
    seen = {folded(but_not)}
    wordings: list[str] = []
    for line in without_reasoning(text).splitlines():
        bare = _item(line)
        if _is_asked(bare) and folded(bare) not in seen:
            seen.add(folded(bare))
            wordings.append(bare)
    return wordings[:n]


def _item(line: str) -> str:
    """A line without what stands around its item: bold marks, number, announcement, label, quotation marks."""
    bare = _BULLET.sub("", _BOLD.sub(r"\1", line))
    return _unquoted(_ASKED_LABEL.sub("", _LEAD_IN.sub("", bare)).strip().rstrip(",;"))


def _is_asked(bare: str) -> bool:
    """Whether an item is a query, and no announcement, fence or essay."""
    readable = bool(_WORD.search(bare)) and len(bare) <= _LONGEST_WORDING
    return readable and not any(sort.match(bare) for sort in (_ANNOUNCEMENT, _HERE_ARE, _FENCE))


def folded(text: str) -> str:
    """The words of a text in lower case: equal for texts that differ in letter case, marks and blanks alone."""
    return " ".join(_WORD.findall(text.casefold()))


def _unquoted(text: str) -> str:
    """Without quotation marks that open at the start and close at the end; marks inside stay."""
    for opening, closing in ('""', "''", "``", "“”", "‘’", "«»", ("**", "**")):
        inner = text[len(opening) : -len(closing)]
        if len(text) > 2 and text.startswith(opening) and text.endswith(closing) and opening not in inner:
            return inner.strip()
    return text.strip()


def parse_list(text: str) -> list[str] | None:
    """The texts of a list: of the first JSON array, or one a line behind a sign or a number. None where there is none.

    An array may stand in an object or in other arrays, and may be cut off: what ended is read. "None" alone is an empty list.

    >>> parse_list('Here: {"names": ["Ada", "Bo"]} and more'), parse_list("- Ada\\n- Bo"), parse_list("None."), parse_list("Ada")
    (['Ada', 'Bo'], ['Ada', 'Bo'], [], None)
    """
    text = without_reasoning(text)
    if "[" in text:
        return _array(text[text.index("[") :])
    lines = [line for line in text.splitlines() if _BULLET.match(line)]
    if lines:
        return [item for line in lines if _WORD.search(item := _item(line))]
    return [] if folded(text) in ("none", "nothing") else None


def _array(text: str) -> list[str]:
    """The strings up to the bracket that closes the first one."""
    depth, items = 0, list[str]()
    for token in _TOKEN.finditer(text):
        if token[0] in "[]":
            depth += 1 if token[0] == "[" else -1
            if depth == 0:
                break
        else:
            items.append(_string(token[0]))
    return [item for item in items if _WORD.search(item)]


def _string(token: str) -> str:
    """A JSON string; one with escapes that JSON does not have is taken as it stands."""
    try:
        value = str(json.loads(token, strict=False))
    except ValueError:
        value = token[1:-1]
    return value.encode("utf-8", "replace").decode("utf-8").strip()


def list_form(n: int) -> str:
    """A regular expression for a JSON array of at most `n` strings, of the kind that all engines read.

    >>> [bool(re.fullmatch(list_form(2), text)) for text in ('[]', '["a", "b"]', '["a", "b", "c"]', '[""]', 'a')]
    [True, True, False, False, False]
    """
    string = r'"([^"\\\n]|\\["\\])+"'
    more = rf"(, {string}){{0,{n - 1}}}" if n > 1 else ""
    return rf"\[({string}{more})?\]"


def parse_object(reply: str) -> dict[str, Any] | None:
    """The first JSON object of a reply, whatever stands around it; None where it holds none.

    >>> parse_object('Sure: {"year": 2019}.'), parse_object("2019")
    ({'year': 2019}, None)
    """
    _, opened, rest = without_reasoning(reply).partition("{")
    try:
        told, _ = json.JSONDecoder(strict=False).raw_decode(opened + rest)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
