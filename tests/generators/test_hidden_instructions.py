"""Fifty passages that try to be more than text: what is defused before a model reads them, and what is not."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from generators.cited import CitedGenerator
from generators.llm.scripted import ScriptedLLM
from generators.llm.server_text import harmless
from rag.core.types import Context, Document, Prompt, Query, ScoredDocument

ROWS = [json.loads(line) for line in (Path(__file__).parent / "hidden_instructions.jsonl").read_text().splitlines()]
FACT = "Everyone has thirty days of paid leave a year."


def prompt_of(text: str) -> Prompt:
    """What a model reads for a fact and a hostile passage behind it."""
    llm = ScriptedLLM(replies=("Thirty [1].",))
    passages = tuple(
        ScoredDocument(document=Document(doc_id=name, text=each), score=1.0)
        for name, each in (("fact", FACT), ("hostile", text))
    )
    CitedGenerator(llm=llm).generate([Context(query=Query(qid="1", text="How many days?"), passages=passages)])
    return llm.seen[0]


def of(*kinds: str) -> list[str]:
    return [row["text"] for row in ROWS if row["kind"] in kinds]


def test_the_set_is_the_one_that_the_docs_describe() -> None:
    assert Counter(row["kind"] for row in ROWS) == {
        "passage": 10,
        "speaker": 10,
        "rule": 6,
        "template": 10,
        "words": 14,
    }


@pytest.mark.parametrize("text", of("passage", "speaker", "rule", "words"))
def test_no_text_of_a_passage_has_the_form_of_the_prompt(text: str) -> None:
    """Two passages and one question go in, so two openings and one question are read, and nobody else speaks."""
    user = prompt_of(text)[-1].content
    assert re.findall(r"^[ \t>*-]*\[([\d ,]+)\]", user, re.MULTILINE) == ["1", "2"]
    assert len(re.findall(r"^[ \t]*question[ \t]*:", user, re.MULTILINE | re.IGNORECASE)) == 1
    assert len(re.findall(r"^[ \t]*answer[ \t]*:", user, re.MULTILINE | re.IGNORECASE)) == 1
    assert not re.search(r"^[ \t]*(?:system|user|assistant|human)[ \t]*:", user, re.MULTILINE | re.IGNORECASE)
    assert not re.search(r"^[ \t]*[-=_*#~]{3,}[ \t]*$", user, re.MULTILINE)


@pytest.mark.parametrize("text", of("template"))
def test_marks_of_turns_are_broken_where_a_server_would_read_them(text: str) -> None:
    """In this process no text can be such a mark at all: tests/generators/llm/test_turns.py shows that on the ids."""
    sent = harmless(prompt_of(text)[-1].content)
    assert not re.search(r"<\|\w+\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<bos>", sent)


@pytest.mark.parametrize("text", of("words"))
def test_plain_words_reach_the_model_as_they_are(text: str) -> None:
    """They cannot be told from other text by their form. The docs say so."""
    assert text in prompt_of(text)[-1].content
