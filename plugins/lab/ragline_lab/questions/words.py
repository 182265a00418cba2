"""What is wrong with a question by its words alone. Pure functions; the words that name a passage are English."""

from __future__ import annotations

import re
from itertools import dropwhile

from rag.evaluate import holds, normalised_words
from rag.types import Document

LONGEST_COPY = 8
"""Words in a row that a question may not share with its passage."""
LONGEST_ANSWER = 12
"""Words of a short answer."""

_JOINS = ("is", "are", "was", "were")
_NAMES_IT = re.compile(
    r"\b(?:the|this|that|these|those|given|above|following|provided)\s+(?:(?:given|above|following|provided|short)\s+)?"
    r"(?:passage|text|document|article|paragraph|excerpt|abstract|snippet)s?\b"
    r"|\b(?:this|given|above|following|provided)\s+(?:code|context|function|method|study|paper|page|section)s?\b",
    re.IGNORECASE,
)


def fault(question: str, answer: str, passage: Document) -> str:
    """Why a question cannot be used, by its words; empty where nothing is wrong with them.

    >>> frames = Document(doc_id="d", text="Frames are brazed from chromoly tubes.")
    >>> fault("What are frames brazed from?", "chromoly tubes", frames), fault("What is the text about?", "tubes", frames)
    ('', 'names the passage')
    """
    if _NAMES_IT.search(question):
        return "names the passage"
    if _copies(question, passage.full_text):
        return "copied"
    if not holds(passage.full_text, answer):
        return "no such answer"
    return "long answer" if len(normalised_words(answer)) > LONGEST_ANSWER else ""


def _copies(question: str, text: str) -> bool:
    words, stretch = normalised_words(question), f" {' '.join(normalised_words(text))} "
    runs = (words[start : start + LONGEST_COPY] for start in range(len(words) - LONGEST_COPY + 1))
    return any(f" {' '.join(run)} " in stretch for run in runs)


def added(question: str, answer: str) -> str:
    """An answer without a beginning that only repeats the question; whole where it adds nothing.

    >>> added("What are frames brazed from?", "The frames are brazed from chromoly tubes.")
    'chromoly tubes.'
    """
    said = {*normalised_words(question), *_JOINS}
    return " ".join(dropwhile(lambda word: said.issuperset(normalised_words(word)), answer.split())) or answer
