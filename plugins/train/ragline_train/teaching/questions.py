"""Questions to teach with: those that a corpus asks of itself, and those of a log."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from rag.types import Document
from rag.writing import sentences
from ragline_train.pseudo import bare

Origin = Literal["title", "heading", "sentence", "log", "judged", "written"]
OWN: tuple[Origin, ...] = ("title", "heading", "sentence")
"""What a corpus gives without anybody's help."""
_LEAST_WORDS, _MOST_WORDS = 3, 40
_LEAST_LEFT = 20
"""Words of a passage that stay when the question is taken out of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question. `source`: the passage that it was made of, without the question; None where nobody knows what answers it."""

    text: str
    origin: Origin
    source: Document | None = None


def own_questions(
    documents: Sequence[Document], *, n: int, seed: int = 0, origins: Sequence[Origin] = OWN
) -> list[Asked]:
    """At most `n` questions of passages that are drawn at random, kinds in turn, at most one of a kind from a passage.

    A title and a heading stand alone as questions, and a sentence is cut out at random (the inverse cloze task of Lee et al.,
    ACL 2019). What becomes a question is taken out of its passage, so that its words alone do not answer it.

    Raises:
        ValueError: an origin is none of a corpus.
    """
    if wrong := [each for each in origins if each not in OWN]:
        raise ValueError(f"a corpus gives {', '.join(OWN)}, not {wrong[0]}; all are {', '.join(get_args(Origin))}")
    chance = random.Random(seed)
    order = list(documents)
    chance.shuffle(order)
    found: dict[str, Asked] = {}
    for document in order:
        for asked in _of_passage(document, chance):
            if asked.origin in origins:
                found.setdefault(asked.text, asked)
        if len(found) >= n:
            break
    return list(found.values())[:n]


def _of_passage(document: Document, chance: random.Random) -> Iterator[Asked]:
    words = len(document.text.split())
    whole, _, heading = document.title.rpartition(" › ")
    name = heading.strip()
    if len(name.split()) >= _LEAST_WORDS and words >= _LEAST_LEFT:
        yield Asked(text=name, origin="heading" if whole else "title", source=bare(document))
    spans = [(start, end) for start, end in sentences(document.text) if _fits(document.text[start:end], words)]
    if spans:
        start, end = chance.choice(spans)
        rest = f"{document.text[:start].rstrip()} {document.text[end:].lstrip()}".strip()
        text = " ".join(document.text[start:end].split())
        yield Asked(text=text, origin="sentence", source=replace(bare(document), text=rest))


def _fits(sentence: str, words: int) -> bool:
    n = len(sentence.split())
    return _LEAST_WORDS <= n <= _MOST_WORDS and words - n >= _LEAST_LEFT
