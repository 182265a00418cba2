"""The second of two questions in one sentence, such as "and by how much?": small models answer the first and stop.

Told by what stands after the last "and" of a sentence that asks already: a question word, maybe behind a preposition, or in
English and German a verb that begins a question. Pure functions.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from rag.core.types import Answer
from rag.stages.cite import content_words, says
from rag.stages.markers import without_markers

_BEFORE = r"""
    (?:above|at|below|by|for|from|in|of|on|since|to|until|up[ ]to|with|ab|auf|aus|bei|bis|für|mit|seit|um|von|zu
    |à|de|pour|en|por|con|para)
"""
_ASKING = r"""
    what|which|who|whom|whose|when|where|why|how
    |was|welche[mnrs]?|wer|wen|wem|wann|wo|woher|wohin|warum|wie|wieviele?
    |quels?|quelles?|qui|quand|où|pourquoi|comment|combien
    |qué|cuál(?:es)?|quién(?:es)?|cuándo|dónde|cómo|cuánt[oa]s?
    |kto|kiedy|gdzie|dlaczego|jak|ile|ilu|któr[yae]
"""
_VERBS = r"""
    (?:is|are|was|were|do|does|did|can|could|may|must|has|have|had|will|would|should|ist|sind|hat|haben|kann|können|muss|darf)
    [ ](?:it|they|he|she|there|one|I|we|you|this|that|these|those|the|a|an|es|er|sie|man|der|die|das|ein|eine)
"""
_FIRST = re.compile(
    rf"(?xi) (?:\A|[ ¿])(?:{_ASKING})\b | \A(?:{_VERBS})\b | \A(?:did|does|do|is|are|was|were|hat|ist)\b"
)
_SECOND = re.compile(
    rf"(?xi) (?<=[^\s,;])[,;]?[ ]+(?:and|und|et|y|i|oraz)[ ]+(?P<second>(?:{_BEFORE}[ ])?(?:{_ASKING}|{_VERBS})\b[^?]*\?)\s*\Z"
)
_LONGEST = 400
_ENDED = re.compile(r"[.!?…。！？][\"'”’»)*_]*\s*\Z")


def second_question(question: str) -> str:
    """What a question asks beside its first question; empty where it asks one thing.

    >>> second_question("Did Iowa make more from wind or from coal, and by how much?")
    'By how much?'
    >>> second_question("Wer hat es gebaut und wann wurde es verkauft?"), second_question("What are bread and butter?")
    ('Wann wurde es verkauft?', '')
    """
    found = _SECOND.search(question) if len(question) <= _LONGEST else None
    if found is None or not _FIRST.search(question[: found.start()]):
        return ""
    second = found["second"]
    return second[0].upper() + second[1:]


def joined(first: Answer, second: Answer, *, refusal: str) -> Answer:
    """The first answer with the second behind it; the first one alone where the second declines, or has no word that is new.

    Counted as `second_asked`, and where something came of it as `second_answered`.
    """
    says_more = content_words(without_markers(second.text)) - content_words(without_markers(first.text))
    more = second.status == "answered" and not says(second.text, refusal) and bool(says_more)
    told = {"second_asked": 1, "second_answered": 1} if more else {"second_asked": 1}
    counts = Counter(first.outcome.counts) + Counter(second.outcome.counts if more else {}) + Counter(told)
    asked = replace(first, usage=first.usage + second.usage, outcome=replace(first.outcome, counts=dict(counts)))
    if not more:
        return asked
    text = first.text + (" " if _ENDED.search(without_markers(first.text)) else "\n")
    moved = [replace(each, start=each.start + len(text), end=each.end + len(text)) for each in second.citations]
    return replace(
        asked,
        text=text + second.text,
        citations=(*first.citations, *moved),
        finish_reason=second.finish_reason,
    )
