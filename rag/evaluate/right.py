"""Is a given answer right? Definitions that need no judge, by name.

All of them call an answer wrong that was given to a question without one. A refusal is neither right nor wrong: it was not
given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from rag.core.types import Answer
from rag.evaluate.answers import words_of
from rag.evaluate.beir import Item
from rag.evaluate.text_overlap import best_of, holds, token_f1

Right = Callable[[Answer, Item, str], bool]
"""An answer with status `answered`, its question, and the language of the references (ISO 639-1)."""

_LEAST_F1 = 0.3


def contains(answer: Answer, item: Item, language: str = "en") -> bool:
    """The words of a reference stand in the answer, in order, after the normalisation of `exact_match`."""
    words = words_of(answer)
    return item.answerable and any(holds(words, one, language=language) for one in item.answers)


def f1(answer: Answer, item: Item, language: str = "en") -> bool:
    """Token F1 with a reference is 0.3 or more: for references of whole sentences."""
    words = words_of(answer)
    return (
        item.answerable
        and bool(words and item.answers)
        and best_of(partial(token_f1, language=language), words, item.answers) >= _LEAST_F1
    )


def passage(answer: Answer, item: Item, language: str = "en") -> bool:
    """One of the passages that the model read is, or is a part of, a supporting document. Its words are not looked at."""
    read = {name for hit in answer.context.passages for name in (hit.doc_id, hit.document.parent)}
    return item.answerable and not read.isdisjoint(item.supporting)


def answerable(answer: Answer, item: Item, language: str = "en") -> bool:
    """The question has an answer. Its words are not looked at."""
    return item.answerable


def auto(answer: Answer, item: Item, language: str = "en") -> bool:
    """`contains` where there are references, else `passage` where there are supporting documents, else `answerable`."""
    return (contains if item.answers else passage if item.supporting else answerable)(answer, item, language)


RIGHT: Mapping[str, Right] = {
    "auto": auto,
    "contains": contains,
    "f1": f1,
    "passage": passage,
    "answerable": answerable,
}
"""Name -> definition, as `rag calibrate --right` takes it."""
