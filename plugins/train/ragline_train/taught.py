"""A teacher of heads where nothing is judged: what the index's own legs say of the candidates, together.

A query drawn from one document says little of the other candidates, and some of those are as good. So the lexical and
the dense leg grade all of them. Heads that agree with both have learned what the two have in common, without labels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.evaluate import load_beir, read_questions
from rag.indexes import Index
from rag.protocols import LLM
from rag.types import Query
from rag.writing import standardised
from ragline_train.pseudo import Case, Questions, judged_cases, pseudo_cases, unjudged_cases
from retrievers import RETRIEVERS

LEXICAL = 0.3
"""Weight of the lexical leg beside the dense one, both standardised: that of the built-in graph `hybrid`."""
TEMPERATURE = 0.5
"""Standard deviations by which a document must lead for e times the share."""
_LOOKED_AT = 10  # times as many hits as there are candidates, so that nearly each of them has its lexical score


def taught(index: Index, cases: Sequence[Case]) -> list[Case]:
    """The cases, with the legs' opinion as grades: a share of 1 for every candidate, 0 for less than an even share.

    Raises:
        IndexMismatch: the index lacks one of the legs.
    """
    dense, lexical = _dense(index, cases), _lexical(index, cases)
    lessons = []
    for case, by_vector, by_words in zip(cases, dense, lexical, strict=True):
        given = shares((1 - LEXICAL) * standardised(by_vector) + LEXICAL * standardised(by_words))
        lessons.append(replace(case, grades=tuple(np.where(given >= 1 / len(given), given, 0.0).tolist()), taught=True))
    return lessons


def shares(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Parts of 1, e times as large for every half standard deviation that a score leads by.

    >>> [round(share, 3) for share in shares(np.array([0.5, 0.0])).tolist()]
    [0.731, 0.269]
    """
    exponents = np.exp((scores - scores.max()) / TEMPERATURE)
    result: NDArray[np.float64] = exponents / exponents.sum()
    return result


def _dense(index: Index, cases: Sequence[Case]) -> list[NDArray[np.float64]]:
    doc_ids = [[each.doc_id for each in case.candidates] for case in cases]
    scores = RETRIEVERS.get("dense")(index=index).scores(_queries(cases), doc_ids)
    return [np.array(of_case, dtype=np.float64) for of_case in scores]


def _lexical(index: Index, cases: Sequence[Case]) -> list[NDArray[np.float64]]:
    """BM25's scores; a candidate that is not among the hits has that of the last one."""
    k = _LOOKED_AT * max((len(case.candidates) for case in cases), default=1)
    scores = []
    for ranking, case in zip(RETRIEVERS.get("bm25")(index=index).retrieve(_queries(cases), k=k), cases, strict=True):
        known = {hit.doc_id: hit.score for hit in ranking.hits}
        least = min(known.values(), default=0.0)
        scores.append(np.array([known.get(each.doc_id, least) for each in case.candidates]))
    return scores


def _queries(cases: Sequence[Case]) -> list[Query]:
    return [Query(qid=str(number), text=case.query) for number, case in enumerate(cases)]


Teacher = Literal["auto", "index", "source"]

_ASKED = {
    "keywords": "salient words of documents",
    "titles": "titles and first sentences",
    "generated": "written by the model",
}
_BY_INDEX = ", graded by the index's lexical and dense leg"


def head_cases(
    index: Index,
    *,
    n: int,
    depth: int,
    seed: int,
    judged: tuple[str, str] | None,
    asked: Path | None,
    questions: Questions,
    teacher: Teacher,
    llm: LLM,
) -> tuple[list[Case], str]:
    """At most `n` cases of `depth` candidates each, and what they are, in words.

    Args:
        judged: a BEIR-layout folder and its split; its judgements grade.
        asked: a JSONL file of questions; the legs of the index grade what is found for each.
        questions: where neither is given, what the corpus is asked.
        teacher: of such questions, who grades: the index's legs together, the question's source alone, or the legs where
            the index has both (auto).
    """
    if judged is not None:
        folder, split = judged
        dataset = load_beir(folder)
        qrels = dataset.qrels(split)
        cases = judged_cases(index, dataset.queries_of(qrels)[:n], qrels, depth=depth)
        return cases, f"{len(cases)} judged queries of {dataset.name} {split}"
    if asked is not None:
        queries = list(read_questions(asked))
        drawn = random.Random(seed).sample(queries, min(n, len(queries)))
        cases = taught(index, unjudged_cases(index, drawn, depth=depth))
        return cases, f"{len(cases)} queries of {asked.name}, seed {seed}{_BY_INDEX}"
    cases = pseudo_cases(index, n=n, depth=depth, seed=seed, questions=questions, llm=llm)
    words = f"{len(cases)} pseudo-queries ({_ASKED[questions]}), seed {seed}"
    if teacher == "index" or (teacher == "auto" and "dense" in index.legs):
        return taught(index, cases), f"{words}{_BY_INDEX}"
    return cases, words
