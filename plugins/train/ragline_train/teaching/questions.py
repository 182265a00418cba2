"""Questions to teach with: those that a corpus asks of itself, that a model writes, of a log, and that somebody judged."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from rag.errors import SpecError
from rag.evaluate import Qrels
from rag.indexes import Index
from rag.protocols import LLM
from rag.types import Document, Query
from rag.writing import sentences
from ragline_train.pseudo import bare, written_questions

Origin = Literal["title", "heading", "sentence", "log", "judged", "written"]
_LEAST_WORDS, _MOST_WORDS = 3, 40
_LEAST_LEFT = 20
"""Words of a passage that stay when the question is taken out of it."""
_MOST_OF_A_PASSAGE = 6
"""Questions. More of one passage say little that these do not."""
_STOP = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question. `source`: the passage that it was made of, without the question; None where nobody knows what answers it."""

    text: str
    origin: Origin
    source: Document | None = None


def own_questions(documents: Sequence[Document], *, n: int, seed: int = 0) -> list[Asked]:
    """At most `n` questions of passages that are drawn at random: one of each passage, then a second, until there are `n`.

    Every other passage begins with its title or heading, which stands alone as a question. The others are sentences, cut out at
    random (the inverse cloze task of Lee et al., ACL 2019): they are as long as what people ask. What becomes a question is
    taken out of its passage, so that its words alone do not answer it.
    """
    chance = random.Random(seed)
    order = list(documents)
    chance.shuffle(order)
    found: dict[str, Asked] = {}
    going = [
        islice(_of_passage(document, chance, name_first=place % 2 == 0), _MOST_OF_A_PASSAGE)
        for place, document in enumerate(order)
    ]
    while going and len(found) < n:
        later = []
        for passage in going:
            asked = next(passage, None)
            if asked is None:
                continue
            found.setdefault(asked.text, asked)
            later.append(passage)
            if len(found) >= n:
                break
        going = later
    return list(found.values())


def sentences_of(text: str) -> Iterator[tuple[int, int]]:
    """Spans of its sentences. In a text without a capital letter, as old collections have them, every full stop ends one."""
    for start, end in sentences(text):
        if text != text.lower():
            yield start, end
            continue
        at = start
        for stop in _STOP.finditer(text, start, end):
            yield at, stop.start()
            at = stop.end()
        if at < end:
            yield at, end


def written_ones(llm: LLM, documents: Sequence[Document], *, n: int, seed: int = 0) -> tuple[list[Asked], int]:
    """A question that a model writes for each of `n` passages drawn at random, and how many it wrote none for.

    A passage stays as it is but for its title: what a model writes is not taken out of it.
    """
    chance = random.Random(seed)
    long = [each for each in documents if len(each.text.split()) >= _LEAST_LEFT]
    drawn = chance.sample(long, min(n, len(long)))
    found = [
        Asked(text=text, origin="written", source=bare(document))
        for text, document in zip(written_questions(llm, drawn), drawn, strict=True)
        if text is not None and len(text.split()) >= _LEAST_WORDS
    ]
    return found, len(drawn) - len(found)


def judged_ones(
    index: Index, queries: Sequence[Query], qrels: Qrels, *, rows: Collection[int]
) -> tuple[list[Asked], dict[str, int]]:
    """A question for each judged passage that is relevant, and what was left out.

    A document that is cut into passages stands for its first.

    Args:
        rows: those that may teach.
    Raises:
        SpecError: the index has none of the judged documents.
    """
    found: list[Asked] = []
    lacking = unreadable = 0
    for query in queries:
        for doc_id in (doc_id for doc_id, grade in qrels.get(query.qid, {}).items() if grade > 0):
            try:
                row = index.documents.rows_of(doc_id)[0]
            except KeyError:
                lacking += 1
                continue
            if row not in rows:
                unreadable += 1
                continue
            found.append(Asked(text=query.text, origin="judged", source=index.documents[row]))
    if not found:
        raise SpecError(
            f"index '{index.name}' has none of the {lacking + unreadable} documents that the judgements call relevant, or they may"
            " not teach. Judgements and index have to be of one corpus"
        )
    counts = {"a judged document that the index lacks": lacking, "a judged document that may not teach": unreadable}
    return found, {why: n for why, n in counts.items() if n}


def _of_passage(document: Document, chance: random.Random, *, name_first: bool) -> Iterator[Asked]:
    """Its name and its sentences in an order that is drawn; the name comes before these, or after the first."""
    names, cut = _names(document), _cut_out(document, chance)
    if not name_first:
        yield from islice(cut, 1)
    yield from names
    yield from cut


def _names(document: Document) -> Iterator[Asked]:
    whole, _, heading = document.title.rpartition(" › ")
    name = heading.strip()
    origin: Origin = "heading" if whole else "title"
    if len(name.split()) >= _LEAST_WORDS and len(document.text.split()) >= _LEAST_LEFT:
        yield Asked(text=name, origin=origin, source=bare(document))


def _cut_out(document: Document, chance: random.Random) -> Iterator[Asked]:
    words = len(document.text.split())
    spans = [(start, end) for start, end in sentences_of(document.text) if _fits(document.text[start:end], words)]
    for start, end in chance.sample(spans, len(spans)):
        rest = f"{document.text[:start].rstrip()} {document.text[end:].lstrip()}".strip()
        text = " ".join(document.text[start:end].split())
        yield Asked(text=text, origin="sentence", source=replace(bare(document), text=rest))


def _fits(sentence: str, words: int) -> bool:
    n = len(sentence.split())
    return _LEAST_WORDS <= n <= _MOST_WORDS and words - n >= _LEAST_LEFT
