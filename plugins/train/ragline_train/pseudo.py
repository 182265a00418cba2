"""Questions that a corpus asks of itself, to find heads without labels.

Some of a unit's own salient words become a query, and stay in the unit, which is then the one relevant document. Or its
title (its first sentence, where it has none) is taken off it and becomes one, or a model writes a question that the unit
answers; then all candidates stand without titles, so that the relevant one does not give itself away by lacking one. Hard
negatives are what the index's lexical leg finds for the query. Candidates are in no order.

Better than all of these are questions that people asked, where there are some (`unjudged_cases`): nobody has to judge
them, since the index's legs grade what is found for them (`ragline_train.taught`).
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import prompts
from rag.evaluate import Qrels
from rag.indexes import Index
from rag.protocols import LLM
from rag.types import Document, Query, SamplingParams
from rag.writing import first_words, parse_wordings
from retrievers import RETRIEVERS

_SENTENCE = re.compile(r"(?s)\s*(.+?[.!?])\s+(.+)")
_LEAST_QUERY, _LEAST_TEXT = 3, 20  # words
_TRIES = 20  # units looked at for every case wanted
_WORD = re.compile(r"[^\W\d_][\w'-]+")
_SALIENT = 12  # words to draw from
_FEWEST, _MOST = 3, 6  # words of a query
_COUNTED = 2000  # units whose words are counted for rarity
_PROMPT = "rank_query_likelihood"  # asks for a search query that a passage answers
_WORDS = 150  # of a passage: what lies behind is rarely read by the reranker either
_PARAMS = SamplingParams(max_tokens=32, stop=("\n",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A query, its candidates, and their grades in the same order; above 0 is relevant, and nothing is where nobody judged.

    taught: grades are shares that a teacher gives each candidate, and not steps of relevance.
    origin: what the query is: a title, a heading, a sentence, of a log; empty where nobody said.
    source: doc_id of the candidate that the query was made of, or that the teacher likes best; empty where nobody said.
    first: standardised scores of the first stage, in the order of the candidates; empty where nobody kept them.
    """

    query: str
    candidates: tuple[Document, ...]
    grades: tuple[float, ...]
    taught: bool = False
    origin: str = ""
    source: str = ""
    first: tuple[float, ...] = ()


Asker = Callable[[Sequence[Document]], Sequence[tuple[str, Document] | None]]
"""Units -> for each a query and the unit as a candidate, or None where it is no good for a question."""


Questions = Literal["keywords", "titles", "generated"]


def pseudo_cases(
    index: Index, *, n: int, depth: int, questions: Questions = "keywords", seed: int = 0, llm: LLM | None = None
) -> list[Case]:
    """At most `n` cases of at most `depth` candidates, drawn at random from the index, one per document.

    Units whose title or text is too short for a question are passed over, so a corpus may give fewer.

    Args:
        llm: writes the questions where they are generated.
    """
    chance = random.Random(seed)
    rows = list(range(len(index)))
    chance.shuffle(rows)
    units = iter([index.documents[row] for row in rows[: n * _TRIES]])
    ask = _asker(questions, index, chance, llm)
    questions_by_parent = dict[str, tuple[str, Document]]()
    while part := list(
        islice((unit for unit in units if unit.parent not in questions_by_parent), n - len(questions_by_parent))
    ):
        for unit, question in zip(part, ask(part), strict=True):
            if question is not None:
                questions_by_parent.setdefault(unit.parent, question)
    others_of_each = hard_negatives(index, [query for query, _ in questions_by_parent.values()], depth=2 * depth)
    cases = []
    for (query, source), others in zip(questions_by_parent.values(), others_of_each, strict=True):
        negatives = [each for each in others if each.parent != source.parent][: depth - 1]
        if questions != "keywords":
            negatives = [bare(each) for each in negatives]
        if len(negatives) >= min(4, depth - 1):
            candidates = [source, *negatives]
            chance.shuffle(candidates)
            grades = tuple(float(each is source) for each in candidates)
            cases.append(Case(query=query, candidates=tuple(candidates), grades=grades))
    return cases


def _asker(questions: Questions, index: Index, chance: random.Random, llm: LLM | None) -> Asker:
    if questions == "keywords":
        return KeywordAsker(index, chance)
    if questions == "titles":
        return lambda units: [question_of(unit) for unit in units]
    if llm is None:
        raise ValueError("generated questions need a model that writes them")
    return _writer(llm)


def judged_cases(index: Index, queries: Sequence[Query], qrels: Qrels, *, depth: int) -> list[Case]:
    """A case for every query with a relevant document among its first `depth` by BM25. Titles stay."""
    judged = [query for query in queries if max(qrels.get(query.qid, {"": 0}).values()) > 0]
    cases = []
    candidates_of_each = hard_negatives(index, [query.text for query in judged], depth=depth)
    for query, candidates in zip(judged, candidates_of_each, strict=True):
        grades = qrels[query.qid]
        of_each = tuple(float(grades.get(each.doc_id, grades.get(each.parent, 0))) for each in candidates)
        if any(grade > 0 for grade in of_each):
            cases.append(Case(query=query.text, candidates=tuple(candidates), grades=of_each))
    return cases


def unjudged_cases(index: Index, queries: Sequence[Query], *, depth: int) -> list[Case]:
    """A case for every query with two hits or more by BM25, at most `depth`; all grades are 0, for a teacher to give.

    A text that is asked again counts once: a log must not teach what is asked most often alone.
    """
    texts = list(dict.fromkeys(query.text for query in queries))
    candidates_of_each = hard_negatives(index, texts, depth=depth)
    return [
        Case(query=text, candidates=tuple(candidates), grades=(0.0,) * len(candidates))
        for text, candidates in zip(texts, candidates_of_each, strict=True)
        if len(candidates) > 1
    ]


def question_of(document: Document) -> tuple[str, Document] | None:
    """A query and the document without it; None where there is too little of either."""
    title = document.title.rpartition(" › ")[2].strip()
    if len(title.split()) >= _LEAST_QUERY and len(document.text.split()) >= _LEAST_TEXT:
        return title, bare(document)
    match = _SENTENCE.match(document.text)
    if match and len(match[1].split()) >= _LEAST_QUERY and len(match[2].split()) >= _LEAST_TEXT:
        return match[1], replace(bare(document), text=match[2])
    return None


def _writer(llm: LLM) -> Asker:
    """Units are asked about whole, but for their titles; those too short to answer anything are not shown."""

    def ask(units: Sequence[Document]) -> list[tuple[str, Document] | None]:
        long = [unit for unit in units if len(unit.text.split()) >= _LEAST_TEXT]
        written = dict(zip(map(id, long), written_questions(llm, long), strict=True))
        questions = [written.get(id(unit)) for unit in units]
        return [
            (question, bare(unit)) if question is not None and len(question.split()) >= _LEAST_QUERY else None
            for unit, question in zip(units, questions, strict=True)
        ]

    return ask


def bare(document: Document) -> Document:
    return replace(document, title="")


def hard_negatives(index: Index, queries: Sequence[str], *, depth: int) -> list[list[Document]]:
    """What BM25 finds for each query, best first."""
    numbered = [Query(qid=str(number), text=query) for number, query in enumerate(queries)]
    rankings = RETRIEVERS.get("bm25")(index=index).retrieve(numbered, k=depth)
    return [[hit.document for hit in ranking.hits] for ranking in rankings]


class KeywordAsker:
    """Units -> a query for each of its own salient words, with the unit as it is; None where it has too few words.

    A title or first sentence that is cut out of its document leaves it with fewer of the query's words than other hits
    have, and heads learn the opposite of what real queries need. Words that stay avoid this.
    """

    def __init__(self, index: Index, chance: random.Random) -> None:
        self._chance = chance
        counted = index.documents[:_COUNTED]
        self._n = len(counted)
        self._holding = Counter(word for unit in counted for word in set(_words(unit)))

    def __call__(self, units: Sequence[Document]) -> list[tuple[str, Document] | None]:
        return [self._question(unit) for unit in units]

    def _question(self, unit: Document) -> tuple[str, Document] | None:
        words = _words(unit)
        counts = Counter(words)
        salient = sorted(counts, key=lambda word: (-counts[word] * self._rarity(word), word))[:_SALIENT]
        if len(salient) < 2 * _FEWEST:
            return None
        drawn = self._chance.sample(salient, self._chance.randint(_FEWEST, _MOST))
        places = {word: place for place, word in reversed(list(enumerate(words)))}
        return " ".join(sorted(drawn, key=places.__getitem__)), unit

    def _rarity(self, word: str) -> float:
        return math.log((self._n + 1) / (self._holding[word] + 0.5))


def written_questions(llm: LLM, documents: Sequence[Document]) -> list[str | None]:
    """A question that each text answers, as the model writes it; None where it wrote none. Titles are not shown."""
    template = prompts.load(_PROMPT)
    requests = [template.render(passage=first_words(each.text, _WORDS)) for each in documents]
    replies = llm.complete(requests, _PARAMS)
    return [next(iter(parse_wordings(reply.text, n=1)), None) for reply in replies]


def _words(unit: Document) -> list[str]:
    return [word.casefold() for word in _WORD.findall(unit.full_text)]
